{{/* 40 leave room for what the StatefulSet and the backup add to it. */}}
{{- define "postgres.name" -}}
{{- if or (gt (len .Release.Name) 40) (contains "." .Release.Name) -}}
{{- fail "the release's name becomes the Service's: at most 40 of a-z, 0-9 and -" -}}
{{- end -}}
{{- .Release.Name -}}
{{- end }}

{{/* Labels that never change: (list . "component"). */}}
{{- define "postgres.selectorLabels" -}}
app.kubernetes.io/name: {{ include "postgres.name" (first .) | quote }}
app.kubernetes.io/instance: {{ (first .).Release.Name | quote }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* Name and labels: (list . "NAME" "component"). */}}
{{- define "postgres.metadata" -}}
{{- with first . -}}
name: {{ index $ 1 | quote }}
labels:
  {{- include "postgres.selectorLabels" (list . (last $)) | nindent 2 }}
  app.kubernetes.io/version: {{ .Values.image.tag | default "unknown" | quote }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
{{- end }}

{{- define "postgres.image" -}}
image: {{ .Values.image.digest | empty | ternary (printf "%s:%s" .Values.image.repository .Values.image.tag) (printf "%s@%s" .Values.image.repository .Values.image.digest) | quote }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What both kinds of pods have. */}}
{{- define "postgres.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- range $key := list "imagePullSecrets" "nodeSelector" "tolerations" }}
{{- with get $.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "postgres.password" -}}
valueFrom:
  secretKeyRef:
    name: {{ .Values.credentials.secret | quote }}
    key: {{ .Values.credentials.key | quote }}
{{- end }}

{{/* The spec of a claim: (dict "size" … "className" …). */}}
{{- define "postgres.claim" -}}
accessModes: [ReadWriteOnce]
{{- if kindIs "string" .className }}
storageClassName: {{ .className | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .size | quote }}
{{- end }}
