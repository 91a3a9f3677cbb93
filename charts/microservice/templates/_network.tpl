{{/* The number of a port, given by its name in ports or as a number; nothing where there is no such name. */}}
{{- define "microservice.portNumber" -}}
{{- $port := last . -}}
{{- if kindIs "string" $port -}}
{{- $port = (get ((first .).Values.ports | default dict) $port | default dict).port -}}
{{- end -}}
{{- with $port }}{{ int . }}{{ end -}}
{{- end }}

{{/* Another side of the network, as a list of one peer. */}}
{{- define "microservice.peer" -}}
{{- if .cidr -}}
- ipBlock: {cidr: {{ .cidr | quote }}{{ with .except }}, except: {{ toJson . }}{{ end }}}
{{- else -}}
{{- $pods := .podLabels -}}
{{- with .service }}{{ $pods = dict "app.kubernetes.io/name" (include "microservice.identifier" .) }}{{ end -}}
{{- $peer := dict -}}
{{- with .namespaceLabels }}{{ $_ := set $peer "namespaceSelector" (dict "matchLabels" .) }}{{ end -}}
{{- with $pods }}{{ $_ := set $peer "podSelector" (dict "matchLabels" .) }}{{ end -}}
- {{ toYaml $peer | nindent 2 | trim }}
{{- end -}}
{{- end }}

{{/* The Service's ports, as JSON. Where it is reached from outside the cluster, it leaves the metrics out. */}}
{{- define "microservice.servicePorts" -}}
{{- $ports := deepCopy (.Values.ports | default dict) -}}
{{- $metrics := include "microservice.portNumber" (list . (.Values.metrics).port) -}}
{{- if ne ((.Values.service).type | default "ClusterIP") "ClusterIP" -}}
{{- range $name, $port := .Values.ports }}{{ if eq $metrics (int $port.port | toString) }}{{ $_ := unset $ports $name }}{{ end }}{{ end -}}
{{- end -}}
{{- toJson $ports -}}
{{- end }}
