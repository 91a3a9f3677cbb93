{{/*
Expressions on the objectives: (dict "root" . "window" "5m" and, for a part of the pods, "pods" MATCHER). Both are the
share of bad requests; without traffic they have no value, and nothing fires.
*/}}
{{- define "microservice.slo.availability" -}}
{{- $slo := .root.Values.slo.availability -}}
{{- $series := include "microservice.slo.series" . -}}
(sum(rate({{ $slo.metric }}{ {{- $series }},{{ $slo.errors -}} }[{{ .window }}])) or vector(0)) / (sum(rate({{ $slo.metric }}{ {{- $series -}} }[{{ .window }}])) > 0)
{{- end }}

{{- define "microservice.slo.latency" -}}
{{- $slo := .root.Values.slo.latency -}}
{{- $series := include "microservice.slo.series" . -}}
{{- /* Prometheus 3 writes a whole number as 1.0. */ -}}
{{- $bound := printf "%v" $slo.threshold -}}
{{- if eq $slo.threshold (floor $slo.threshold) }}{{ $bound = printf "%s|%s.0" $bound $bound }}{{ end -}}
1 - sum(rate({{ $slo.metric }}_bucket{ {{- $series }},le=~{{ $bound | quote -}} }[{{ .window }}])) / (sum(rate({{ $slo.metric }}_count{ {{- $series -}} }[{{ .window }}])) > 0)
{{- end }}

{{- define "microservice.slo.series" -}}
namespace={{ .root.Release.Namespace | quote }},job={{ include "microservice.fullName" .root | quote }}{{ with .pods }},{{ . }}{{ end }}
{{- end }}

{{/* The names of the objectives that are set, joined by blanks. */}}
{{- define "microservice.slo.set" -}}
{{- range $name := list "availability" "latency" }}{{ if (get ($.Values.slo | default dict) $name | default dict).objective }}{{ $name }} {{ end }}{{ end -}}
{{- end }}

{{/* The share of bad requests that spends the error budget so many times faster than allowed: (list OBJECTIVE RATE). */}}
{{- define "microservice.slo.limit" -}}
{{ last . }} * (1 - {{ (first .).objective }} / 100)
{{- end }}
