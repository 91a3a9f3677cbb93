{{/*
Every manifest begins with this: it takes nulls out of the values, so that no template has to know of them, and
refuses values that cannot work together.
*/}}
{{- define "microservice.begin" -}}
{{- if not (hasKey . "begun") -}}
{{- $_ := set . "Values" (include "microservice.withoutNulls" .Values | fromJson) -}}
{{- $_ := set . "begun" true -}}
{{- with include "microservice.mistakes" . | trim -}}
{{- printf "these values cannot work:\n%s" . | fail -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A map as JSON, without the keys that are null. */}}
{{- define "microservice.withoutNulls" -}}
{{- $kept := dict -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}
{{- $_ := set $kept $key (include "microservice.withoutNulls" $value | fromJson) -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $_ := set $kept $key $value -}}
{{- end -}}
{{- end -}}
{{- toJson $kept -}}
{{- end }}

{{/* A scalar as the text that was meant: Helm holds numbers as floats, which print as 1e+07. */}}
{{- define "microservice.text" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}
