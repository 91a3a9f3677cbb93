{{/*
Any text as a name that every kind of object takes (RFC 1035: 63 of a-z, 0-9 and `-`, a letter first). Text that had
to be changed ends in a hash of what it was, so that different texts stay different names.
*/}}
{{- define "microservice.identifier" -}}
{{- $name := regexReplaceAll "[^a-z0-9-]+" (lower .) "-" | trimAll "-" -}}
{{- if not (regexMatch "^[a-z]" $name) -}}
{{- $name = printf "x-%s" $name -}}
{{- end -}}
{{- if or (ne $name .) (gt (len $name) 63) -}}
{{- $name = printf "%s-%s" (trunc 52 $name | trimSuffix "-") (sha256sum . | trunc 10) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{/* Any text as the value of a label, likewise. */}}
{{- define "microservice.labelValue" -}}
{{- $value := regexReplaceAll "[^A-Za-z0-9._-]+" . "-" | trimAll "-._" -}}
{{- if or (ne $value .) (gt (len $value) 63) -}}
{{- $value = printf "%s-%s" (trunc 52 $value) (sha256sum . | trunc 10) | trimPrefix "-" -}}
{{- end -}}
{{- $value -}}
{{- end }}

{{- define "microservice.fullName" -}}
{{- $given := list .Release.Name .Values.nameOverride | compact | join "-" -}}
{{- include "microservice.identifier" (.Values.fullnameOverride | default $given) -}}
{{- end }}

{{/* The name of an object that stands beside the main one: (list . "canary"). */}}
{{- define "microservice.nameOf" -}}
{{- include "microservice.identifier" (printf "%s-%s" (include "microservice.fullName" (first .)) (last .)) -}}
{{- end }}

{{- define "microservice.serviceAccountName" -}}
{{- $account := .Values.serviceAccount | default dict -}}
{{- $own := $account.create | default false | ternary (include "microservice.fullName" .) "default" -}}
{{- $account.name | default $own -}}
{{- end }}

{{/* What all pods of a release have in common; it never changes. */}}
{{- define "microservice.podLabels" -}}
app.kubernetes.io/name: {{ include "microservice.identifier" (.Values.nameOverride | default .Release.Name) | quote }}
app.kubernetes.io/instance: {{ include "microservice.identifier" .Release.Name | quote }}
{{- end }}

{{/* What the service's own pods have in common, and migrations have not. */}}
{{- define "microservice.selectorLabels" -}}
{{ include "microservice.podLabels" . }}
app.kubernetes.io/component: server
{{- end }}

{{/* Labels of an object: (list . "component"). */}}
{{- define "microservice.labels" -}}
{{- with first . -}}
{{ include "microservice.podLabels" . }}
app.kubernetes.io/component: {{ last $ }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.image.tag }}
app.kubernetes.io/version: {{ include "microservice.labelValue" . | quote }}
{{- end }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name and labels: (list . "NAME" "component" and, where there are any, annotations). */}}
{{- define "microservice.metadata" -}}
name: {{ index . 1 | quote }}
labels:
  {{- include "microservice.labels" (list (first .) (index . 2)) | nindent 2 }}
{{- if gt (len .) 3 }}
{{- with last . }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Annotations of what the migrations need, so that Argo CD applies it before them. */}}
{{- define "microservice.beforeMigrations" -}}
{{- if (.Values.migrations).enabled }}argocd.argoproj.io/sync-wave: "-2"{{ end -}}
{{- end }}

{{/* What runs the pods. */}}
{{- define "microservice.workload" -}}
{{- if eq (.Values.rollout).strategy "Canary" -}}
apiVersion: argoproj.io/v1alpha1
kind: Rollout
{{- else -}}
apiVersion: apps/v1
kind: Deployment
{{- end }}
name: {{ include "microservice.fullName" . | quote }}
{{- end }}

{{/* How many pods are sure to be there, disruptions aside. */}}
{{- define "microservice.sureReplicas" -}}
{{- $scaled := .Values.autoscaling | default dict -}}
{{- if $scaled.enabled }}{{ $scaled.minReplicas | default 1 | int }}
{{- else if hasKey .Values "replicas" }}{{ .Values.replicas | int }}
{{- else }}1{{ end -}}
{{- end }}
