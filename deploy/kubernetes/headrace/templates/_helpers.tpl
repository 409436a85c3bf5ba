{{- define "headrace.name" -}}
{{ ternary .Release.Name (printf "%s-headrace" .Release.Name) (contains "headrace" .Release.Name) | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "headrace.selector" -}}
app.kubernetes.io/name: headrace
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "headrace.labels" -}}
{{ include "headrace.selector" . }}
app.kubernetes.io/component: {{ .Values.mode }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- /* The configuration file: the user's, and what the chart decides. */}}
{{- define "headrace.config" -}}
{{- if not .Values.config.models }}
{{- fail "config.models is empty: name a model, like [{ name: \"*\", kubernetes: { from: pods } }]" }}
{{- end }}
{{- $admin := dict "address" ":9090" "open" "metrics" }}
{{- if .Values.adminTokenSecret }}
{{- $_ := set $admin "token_file" "/etc/headrace-admin/token" }}
{{- end }}
{{- $own := dict "admin" $admin "timeouts" (dict
      "drain_delay" (printf "%ds" (int .Values.drain.delaySeconds))
      "drain" (printf "%ds" (int .Values.drain.seconds))) }}
{{- if eq .Values.mode "gateway" }}
{{- $listen := dict "address" ":8080" }}
{{- if .Values.tlsSecret }}
{{- $_ := merge $listen (dict "certificate" "/etc/headrace-tls/tls.crt" "key" "/etc/headrace-tls/tls.key") }}
{{- end }}
{{- $_ := set $own "listen" $listen }}
{{- else }}
{{- $extproc := dict "listen" ":9002" "health" ":9003" "tls" .Values.picker.tls }}
{{- if .Values.picker.tlsSecret }}
{{- $_ := merge $extproc (dict "certificate" "/etc/headrace-tls/tls.crt" "key" "/etc/headrace-tls/tls.key") }}
{{- end }}
{{- $_ := merge $own (dict "listen" "none" "extproc" $extproc) }}
{{- end }}
{{- if .Values.profiles }}
{{- $_ := set $own "profiles" (dict "source" "directory" "directory" "profiles") }}
{{- end }}
{{- if .Values.apiKeysSecret }}
{{- $_ := set $own "api_keys" "/etc/headrace-keys/keys.yaml" }}
{{- end }}
{{- include "headrace.refuse" (dict "given" .Values.config "own" $own "path" "config") }}
{{- if dig "replicas" "share" false .Values.config }}
{{- $group := printf "%s-%s" .Release.Namespace (include "headrace.name" .) }}
{{- $_ := set $own "replicas" (merge (deepCopy .Values.config.replicas) (dict "group" $group)) }}
{{- end }}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}

{{- /* Fails if an option is given that the chart sets. */}}
{{- define "headrace.refuse" -}}
{{- range $name, $value := .own }}
{{- if hasKey $.given $name }}
{{- $path := printf "%s.%s" $.path $name }}
{{- if and (kindIs "map" $value) (kindIs "map" (get $.given $name | default dict)) }}
{{- include "headrace.refuse" (dict "given" (get $.given $name | default dict) "own" $value "path" $path) }}
{{- else }}
{{- fail (printf "%s is set by the chart; remove it and see docs/kubernetes.md for the value that it comes from" $path) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the configuration watches, as YAML: namespace → resource → names (none: all there are). Of the
namespace `*`: in the whole cluster. */}}
{{- define "headrace.watched" -}}
{{- $watched := dict }}
{{- range .Values.config.models }}
{{- if hasKey . "kubernetes" }}
{{- $source := .kubernetes | default dict }}
{{- $from := splitList "/" ($source.from | default "pods") }}
{{- range $source.namespaces | default (list $.Release.Namespace) }}
{{- $resources := get $watched . | default dict }}
{{- if eq (first $from) "service" }}
{{- $_ := set $resources "endpointslices" list }}
{{- else }}
{{- $_ := set $resources "pods" list }}
{{- end }}
{{- if eq (first $from) "inferencepool" }}
{{- $pools := append ($resources.inferencepools | default list) (last $from) | uniq }}
{{- $_ := merge $resources (dict "inferenceobjectives" list) }}
{{- $_ := set $resources "inferencepools" $pools }}
{{- end }}
{{- $_ := set $watched . $resources }}
{{- end }}
{{- end }}
{{- range .deployments }}
{{- if contains "{gpu}" (.profile | default "") }}
{{- $_ := set $watched "*" (merge (get $watched "*" | default dict) (dict "nodes" list)) }}
{{- end }}
{{- end }}
{{- end }}
{{- $profiles := .Values.config.profiles | default dict }}
{{- if eq ($profiles.source | default "") "configmap" }}
{{- $own := get $watched .Release.Namespace | default dict }}
{{- $_ := set $own "configmaps" (list ($profiles.configmap | default "headrace-profiles")) }}
{{- $_ := set $watched .Release.Namespace $own }}
{{- end }}
{{- toYaml $watched }}
{{- end }}
