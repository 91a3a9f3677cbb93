{{/* The digest says exactly what runs; the tag says it for people. */}}
{{- define "microservice.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ printf "%s@%s" .repository .digest }}{{ else }}{{ printf "%s:%s" .repository .tag }}{{ end -}}
{{- end -}}
{{- end }}

{{/* What a pod's spec has whatever its containers are. */}}
{{- define "microservice.pod" -}}
serviceAccountName: {{ include "microservice.serviceAccountName" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* How the service's pods are spread, each version of them by itself. */}}
{{- define "microservice.spread" -}}
{{- $hash := eq (.Values.rollout).strategy "Canary" | ternary "rollouts-pod-template-hash" "pod-template-hash" -}}
{{- range $key, $spread := .Values.topologySpread }}
- topologyKey: {{ $key | quote }}
  {{- toYaml $spread | nindent 2 }}
  labelSelector:
    matchLabels:
      {{- include "microservice.selectorLabels" $ | nindent 6 }}
  matchLabelKeys: [{{ $hash }}]
{{- end }}
{{- end }}

{{/*
A container: (dict "root" . "name" … "image" … "spec" …). The spec's maps are lists in Kubernetes; the service, its
migrations, sidecars and init containers all come through here.
*/}}
{{- define "microservice.container" -}}
name: {{ .name | quote }}
image: {{ .image | quote }}
{{- with .spec.imagePullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with .spec.restartPolicy }}
restartPolicy: {{ . }}
{{- end }}
{{- range $key := list "command" "args" "resources" }}
{{- with get $.spec $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
securityContext:
  {{- toYaml (mergeOverwrite (deepCopy (.root.Values.securityContext | default dict)) (.spec.securityContext | default dict)) | nindent 2 }}
{{- with include "microservice.env" .spec | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- with .spec.envFrom }}
envFrom:
  {{- range . }}
  - {{ hasKey . "configMap" | ternary "configMapRef" "secretRef" }}: {{ dict "name" (.configMap | default .secret) "optional" (.optional | default false) | toJson }}
    {{- with .prefix }}
    prefix: {{ . | quote }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with .spec.ports }}
ports:
  {{- range $name, $port := . }}
  - name: {{ $name | quote }}
    containerPort: {{ int $port.port }}
    protocol: TCP
  {{- end }}
{{- end }}
{{- range $kind, $probe := .spec.probes }}
{{- if $probe.enabled }}
{{ $kind }}Probe:
  {{- toYaml (omit $probe "enabled" "path" "port") | nindent 2 }}
  httpGet:
    path: {{ $probe.path | quote }}
    port: {{ toJson $probe.port }}
{{- end }}
{{- end }}
{{- with omit (.spec.lifecycle | default dict) "drain" }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .spec.mounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
The environment of a container's spec. Kubernetes reads $$ as $ and $(NAME) as a variable: text that has either gets
its dollars doubled. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables
*/}}
{{- define "microservice.env" -}}
{{- range $name, $value := .env }}
{{- $text := include "microservice.text" $value }}
{{- if regexMatch "[$][$(]" $text }}{{ $text = replace "$" "$$" $text }}{{ end }}
- name: {{ $name | quote }}
  value: {{ $text | quote }}
{{- end }}
{{- range $name, $ref := .secretEnv }}
- name: {{ $name | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ $ref.secret | quote }}
      key: {{ $ref.key | quote }}
{{- end }}
{{- end }}

{{/* What the chart itself tells the service, and the service's own environment. */}}
{{- define "microservice.serviceEnv" -}}
{{- $env := dict -}}
{{- with .Values.image.tag }}{{ $_ := set $env "SERVICE_VERSION" . }}{{ end -}}
{{- with (.Values.release).source }}{{ $_ := set $env "SERVICE_REVISION" . }}{{ end -}}
{{- with (.Values.lifecycle).drain -}}
{{- if hasKey . "delaySeconds" }}{{ $_ := set $env "DRAIN_DELAY" (printf "%ds" (int .delaySeconds)) }}{{ end -}}
{{- if hasKey . "deadlineSeconds" }}{{ $_ := set $env "DRAIN_DEADLINE" (printf "%ds" (int .deadlineSeconds)) }}{{ end -}}
{{- end -}}
{{- merge (deepCopy (.Values.env | default dict)) $env | toJson -}}
{{- end }}

{{/* The service's container. */}}
{{- define "microservice.service" -}}
{{- $own := pick .Values "command" "args" "secretEnv" "envFrom" "ports" "probes" "lifecycle" "resources" -}}
{{- $more := dict "imagePullPolicy" .Values.image.pullPolicy "env" (include "microservice.serviceEnv" . | fromJson) "mounts" (include "microservice.mounts" . | fromYamlArray) -}}
{{- include "microservice.container" (dict "root" . "name" "service" "image" (include "microservice.image" .) "spec" (merge $more $own)) -}}
{{- end }}

{{/* Sidecars or init containers: (list . MAP). One without an image runs the service's. */}}
{{- define "microservice.containers" -}}
{{- $root := first . -}}
{{- range $name, $given := last . }}
{{- $spec := omit $given "mounts" -}}
{{- $mounts := list -}}
{{- range $volume, $path := $given.mounts }}{{ $mounts = append $mounts (dict "name" $volume "mountPath" $path) }}{{ end -}}
{{- $_ := set $spec "mounts" $mounts -}}
{{- if not $spec.image }}{{ $spec = merge $spec (dict "imagePullPolicy" $root.Values.image.pullPolicy "resources" $root.Values.resources) }}{{ end }}
- {{ include "microservice.container" (dict "root" $root "name" $name "image" ($spec.image | default (include "microservice.image" $root)) "spec" $spec) | nindent 2 | trim }}
{{- end }}
{{- end }}

{{/* Where the service's container mounts files and volumes. */}}
{{- define "microservice.mounts" -}}
{{- range $path, $_ := .Values.files }}
- name: files
  mountPath: {{ $path | quote }}
  subPath: {{ include "microservice.fileKey" $path | quote }}
  readOnly: true
{{- end }}
{{- range $name, $volume := .Values.volumes }}
{{- if $volume.mountPath }}
- name: {{ $name | quote }}
  {{- toYaml (pick $volume "mountPath" "subPath" "readOnly") | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "microservice.volumes" -}}
{{- if .Values.files }}
- name: files
  configMap:
    name: {{ include "microservice.filesName" . | quote }}
{{- end }}
{{- range $name, $volume := .Values.volumes }}
- name: {{ $name | quote }}
  {{- toYaml (omit $volume "mountPath" "subPath" "readOnly") | nindent 2 }}
{{- end }}
{{- end }}

{{/*
The ConfigMap of the files. Other content is another ConfigMap: it rolls the pods, and what the pods of the version before
mount stays as it was.
*/}}
{{- define "microservice.filesName" -}}
{{- include "microservice.nameOf" (list . (printf "files-%s" (toJson .Values.files | sha256sum | trunc 8))) -}}
{{- end }}

{{/* The key of a file in its ConfigMap, which takes no slashes. */}}
{{- define "microservice.fileKey" -}}
{{- include "microservice.labelValue" (trimPrefix "/" .) -}}
{{- end }}
