{{/*
What the schema cannot tell: values that are right by themselves and wrong together. One line each, with the keys.
*/}}
{{- define "microservice.mistakes" -}}
{{- include "microservice.mistakes.image" . }}
{{- include "microservice.mistakes.replicas" . }}
{{- include "microservice.mistakes.ports" . }}
{{- include "microservice.mistakes.environment" . }}
{{- include "microservice.mistakes.containers" . }}
{{- include "microservice.mistakes.ending" . }}
{{- include "microservice.mistakes.objectives" . }}
{{- end }}

{{- define "microservice.mistakes.image" -}}
{{- $image := .Values.image | default dict }}
{{- if not $image.repository }}
- image.repository: is missing
{{- end }}
{{- if not (or $image.tag $image.digest) }}
- image.tag, image.digest: one of them has to say what runs
{{- end }}
{{- range $label := keys (.Values.commonLabels | default dict) | sortAlpha }}
{{- if hasPrefix "app.kubernetes.io/" $label | or (eq $label "helm.sh/chart") }}
- commonLabels.{{ $label }}: the chart sets this label
{{- end }}
{{- end }}
{{- end }}

{{/* A line, where a map has not exactly one of these keys: (list "PATH" MAP KEYS). */}}
{{- define "microservice.oneOf" -}}
{{- $map := index . 1 -}}
{{- $found := list -}}
{{- range last . }}{{ if hasKey $map . }}{{ $found = append $found . }}{{ end }}{{ end -}}
{{- if ne (len $found) 1 }}
- {{ first . }}: takes exactly one of {{ last . | join ", " }}{{ with $found }}; there are {{ join ", " . }}{{ end }}
{{- end }}
{{- end }}

{{/* A number or N% as the number of pods that it means, rounded up: (list VALUE OF). */}}
{{- define "microservice.share" -}}
{{- $share := first . | toString -}}
{{- if hasSuffix "%" $share -}}
{{- divf (mulf (trimSuffix "%" $share | float64) (last .)) 100 | ceil | int -}}
{{- else }}{{ first . | int }}{{ end -}}
{{- end }}

{{- define "microservice.mistakes.replicas" -}}
{{- $scaled := .Values.autoscaling | default dict }}
{{- $sure := include "microservice.sureReplicas" . | int }}
{{- $source := $scaled.enabled | default false | ternary "autoscaling.minReplicas" "replicas" }}
{{- if $scaled.enabled }}
{{- if not (or $scaled.targetCPU $scaled.targetMemory $scaled.metrics) }}
- autoscaling.enabled, autoscaling.metrics: without targetCPU, targetMemory or metrics there is nothing to scale by
{{- end }}
{{- if not $scaled.maxReplicas }}
- autoscaling.enabled, autoscaling.maxReplicas: the autoscaler needs an upper bound
{{- else if lt (int $scaled.maxReplicas) $sure }}
- autoscaling.minReplicas, autoscaling.maxReplicas: {{ $sure }} is more than {{ int $scaled.maxReplicas }}
{{- end }}
{{- $containers := dict "" (pick .Values "resources") }}
{{- range $name, $spec := .Values.sidecars }}{{ $_ := set $containers (printf "sidecars.%s." $name) $spec }}{{ end }}
{{- range $name, $spec := .Values.initContainers }}{{ if $spec.restartPolicy }}{{ $_ := set $containers (printf "initContainers.%s." $name) $spec }}{{ end }}{{ end }}
{{- range $key, $resource := dict "targetCPU" "cpu" "targetMemory" "memory" }}
{{- if get $scaled $key }}
{{- range $path, $spec := $containers }}
{{- if not (get (($spec.resources).requests | default dict) $resource) }}
- autoscaling.{{ $key }}, {{ $path }}resources.requests.{{ $resource }}: a percentage of a request that is not there
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.pdb }}
{{- if .enabled }}
{{- if and (hasKey . "maxUnavailable") (hasKey . "minAvailable") }}
- pdb.maxUnavailable, pdb.minAvailable: one of them only
{{- else if ge $sure 2 }}
{{- if and (hasKey . "maxUnavailable") (eq (include "microservice.share" (list .maxUnavailable $sure) | int) 0) }}
- pdb.maxUnavailable, {{ $source }}: no pod could ever be evicted, and no node drained
{{- end }}
{{- if and (hasKey . "minAvailable") (ge (include "microservice.share" (list .minAvailable $sure) | int) $sure) }}
- pdb.minAvailable, {{ $source }}: of {{ $sure }} pods none could ever be evicted, and no node drained
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.rollout }}
{{- if and (has (toString .maxSurge) (list "0" "0%")) (has (toString .maxUnavailable) (list "0" "0%")) }}
- rollout.maxSurge, rollout.maxUnavailable: with both at 0 no pod could ever be replaced
{{- end }}
{{- end }}
{{- end }}

{{- define "microservice.mistakes.ports" -}}
{{- $ports := .Values.ports | default dict }}
{{- $service := (.Values.service).enabled }}
{{- $seen := dict }}
{{- range $name, $port := $ports }}
{{- $number := int $port.port | toString }}
{{- with get $seen $number }}
- ports.{{ . }}, ports.{{ $name }}: both are {{ $number }}
{{- end }}
{{- $_ := set $seen $number $name }}
{{- if gt (len $name) 15 }}
- ports.{{ $name }}: the name of a port has at most 15 letters
{{- end }}
{{- end }}
{{- if and $service (not (include "microservice.servicePorts" . | fromJson)) }}
- service.enabled, ports: the Service would have no port
{{- end }}
{{- range $key := list "metrics" "ingress" "httpRoute" }}
{{- if and (get $.Values $key | default dict).enabled (not $service) }}
- {{ $key }}.enabled, service.enabled: there is no Service to lead to the pods
{{- end }}
{{- end }}
{{- if and (eq (.Values.rollout).strategy "Canary") (not $service) }}
- rollout.strategy, service.enabled: a canary needs Services
{{- end }}
{{- range $direction := list "ingress" "egress" }}
{{- range $name, $peer := index ($.Values.networkPolicy | default dict) $direction }}
{{- $kinds := hasKey $peer "service" | or (hasKey $peer "podLabels") | ternary (list "service" "cidr" "podLabels") (list "service" "cidr" "namespaceLabels") }}
{{- include "microservice.oneOf" (list (printf "networkPolicy.%s.%s" $direction $name) $peer $kinds) }}
{{- end }}
{{- end }}
{{- $named := dict }}
{{- range $kind, $probe := .Values.probes }}{{ if $probe.enabled }}{{ $_ := set $named (printf "probes.%s.port" $kind) $probe.port }}{{ end }}{{ end }}
{{- if (.Values.metrics).enabled }}{{ $_ := set $named "metrics.port" .Values.metrics.port }}{{ end }}
{{- with .Values.ingress }}{{ if .enabled }}
{{- if not .hosts }}
- ingress.enabled, ingress.hosts: there is no host
{{- end }}
{{- range $host, $paths := .hosts }}{{ range $path, $backend := $paths }}{{ $_ := set $named (printf "ingress.hosts.%s.%s.port" $host $path) $backend.port }}{{ end }}{{ end }}
{{- end }}{{ end }}
{{- with .Values.httpRoute }}{{ if .enabled }}
{{- if not .parentRefs }}
- httpRoute.enabled, httpRoute.parentRefs: there is no gateway to join
{{- end }}
{{- range $index, $rule := .rules }}{{ $_ := set $named (printf "httpRoute.rules[%d].port" $index) $rule.port }}{{ end }}
{{- end }}{{ end }}
{{- with .Values.networkPolicy }}{{ if .enabled }}
{{- $metrics := include "microservice.portNumber" (list $ ($.Values.metrics).port) }}
{{- range $name, $rule := .ingress }}
{{- range $rule.ports }}
{{- $_ := set $named (printf "networkPolicy.ingress.%s.ports" $name) . }}
{{- if and $metrics (eq $metrics (include "microservice.portNumber" (list $ .))) }}
- networkPolicy.ingress.{{ $name }}.ports, metrics.port: the metrics port is for Prometheus only
{{- end }}
{{- end }}
{{- end }}
{{- end }}{{ end }}
{{- range $key, $port := $named }}
{{- if and (kindIs "string" $port | or (kindIs "invalid" $port)) (not (hasKey $ports (toString $port))) }}
- {{ $key }}, ports: there is no port {{ $port | default "" | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "microservice.mistakes.environment" -}}
{{- $own := dict "SERVICE_VERSION" "image.tag" "SERVICE_REVISION" "release.source" "DRAIN_DELAY" "lifecycle.drain.delaySeconds" "DRAIN_DEADLINE" "lifecycle.drain.deadlineSeconds" }}
{{- $places := dict "env" .Values.env "secretEnv" .Values.secretEnv "migrations.env" (.Values.migrations).env }}
{{- range $place, $names := $places }}
{{- range $name, $_ := $names }}
{{- with get $own $name }}
- {{ $place }}.{{ $name }}, {{ . }}: the latter sets this variable
{{- end }}
{{- if and (ne $place "secretEnv") (hasKey ($.Values.secretEnv | default dict) $name) }}
- {{ $place }}.{{ $name }}, secretEnv.{{ $name }}: one variable, two values
{{- end }}
{{- end }}
{{- end }}
{{- range $kind := list "sidecars" "initContainers" }}
{{- range $name, $spec := index $.Values $kind }}
{{- range $variable, $_ := $spec.env }}
{{- if hasKey ($spec.secretEnv | default dict) $variable }}
- {{ $kind }}.{{ $name }}.env.{{ $variable }}, {{ $kind }}.{{ $name }}.secretEnv.{{ $variable }}: one variable, two values
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $source := .Values.envFrom }}
{{- include "microservice.oneOf" (list (printf "envFrom.%s" $name) $source (list "configMap" "secret")) }}
{{- end }}
{{- /* Helm's toYaml gives nothing at all where a text has one. */}}
{{- if not (toYaml (omit .Values "env" "files" "nameOverride" "fullnameOverride")) }}
- values: only env and files may hold control characters
{{- end }}
{{- $size := 0 }}
{{- range .Values.files }}{{ $size = add $size (len .) }}{{ end }}
{{- if gt $size 1000000 }}
- files: {{ $size }} bytes do not fit into a ConfigMap, which takes 1 MiB
{{- end }}
{{- end }}

{{- define "microservice.mistakes.containers" -}}
{{- $volumes := .Values.volumes | default dict }}
{{- if and .Values.files (hasKey $volumes "files") }}
- volumes.files, files: the volume of this name holds the files
{{- end }}
{{- $paths := dict }}
{{- range $name, $volume := $volumes }}
{{- include "microservice.oneOf" (list (printf "volumes.%s" $name) $volume (list "emptyDir" "configMap" "secret" "persistentVolumeClaim" "projected" "csi")) }}
{{- with $volume.mountPath }}
{{- if hasKey $paths . | or (hasKey ($.Values.files | default dict) .) }}
- volumes.{{ $name }}.mountPath, {{ get $paths . | default (printf "files.%s" .) }}: both are {{ . }}
{{- end }}
{{- $_ := set $paths . (printf "volumes.%s.mountPath" $name) }}
{{- end }}
{{- end }}
{{- range $kind := list "sidecars" "initContainers" }}
{{- range $name, $spec := index $.Values $kind }}
{{- if eq $name "service" | or (and (eq $kind "initContainers") (hasKey ($.Values.sidecars | default dict) $name)) }}
- {{ $kind }}.{{ $name }}: another container has this name
{{- end }}
{{- range $volume, $_ := $spec.mounts }}
{{- if not (hasKey $volumes $volume | or (and (eq $volume "files") $.Values.files)) }}
- {{ $kind }}.{{ $name }}.mounts.{{ $volume }}, volumes: there is no such volume
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "microservice.mistakes.ending" -}}
{{- $life := .Values.lifecycle | default dict }}
{{- $wait := ((($life.preStop).sleep).seconds | default 0) | int }}
{{- $drain := add (($life.drain).delaySeconds | default 0) (($life.drain).deadlineSeconds | default 0) | int }}
{{- $grace := hasKey .Values "terminationGracePeriodSeconds" | ternary .Values.terminationGracePeriodSeconds 30 | int }}
{{- if ge (add $wait $drain) (int64 $grace) }}
- lifecycle, terminationGracePeriodSeconds: preStop takes {{ $wait }} s and the drain up to {{ $drain }} s; the pod is killed after {{ $grace }} s, so raise that above {{ add $wait $drain }}
{{- end }}
{{- end }}

{{- define "microservice.mistakes.objectives" -}}
{{- $set := include "microservice.slo.set" . | trim }}
{{- if and $set (not .Values.slo.runbookBaseUrl) }}
- slo.{{ splitList " " $set | first }}.objective, slo.runbookBaseUrl: an alert needs a runbook
{{- end }}
{{- if and (not $set) (eq (.Values.rollout).strategy "Canary") ((.Values.rollout).analysis).enabled }}
- rollout.analysis.enabled, slo.availability.objective: without an objective there is nothing to judge a canary by
{{- end }}
{{- end }}
