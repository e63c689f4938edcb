{{/* Labels, image references and checks that several templates need. Names of objects are fixed. */}}

{{- define "signet.labels" -}}
{{ include "signet.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: signet
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "signet.selector" -}}
app.kubernetes.io/name: signet
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* {root, component}: the whole reference of a component's image. */}}
{{- define "signet.image" -}}
{{- $own := (index .root.Values .component).image -}}
{{- if $own -}}
{{ $own }}
{{- else -}}
{{ .root.Values.image.registry | trimSuffix "/" }}/signet-{{ .component }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "signet.centralUrl" -}}
https://signet-central.{{ .Release.Namespace }}.svc:7750
{{- end }}

{{- define "signet.masterKeySecret" -}}
{{ .Values.masterKey.existingSecret | default "signet-master-key" }}
{{- end }}

{{- define "signet.bootstrapSecret" -}}
{{ .Values.bootstrap.existingSecret | default "signet-bootstrap" }}
{{- end }}

{{- define "signet.databaseSecret" -}}
{{ .Values.database.existingSecret | default "signet-database" }}
{{- end }}

{{/* What values.schema.json cannot say. */}}
{{- define "signet.check" -}}
{{- $database := .Values.database -}}
{{- if and (not $database.url) (not $database.existingSecret) -}}
{{- fail "database: give database.url (postgres://…) or database.existingSecret, the name of a Secret with the address under the key `url`" -}}
{{- end -}}
{{- if and $database.url $database.existingSecret -}}
{{- fail "database: give either database.url or database.existingSecret, not both" -}}
{{- end -}}
{{- if hasPrefix "sqlite:" $database.url -}}
{{- if or (gt (int .Values.central.replicas) 1) .Values.central.autoscaling.enabled -}}
{{- fail "database.url: SQLite serves one replica of central; use postgres://… or set central.replicas to 1 and central.autoscaling.enabled to false" -}}
{{- end -}}
{{- if not $database.sqlite.existingClaim -}}
{{- fail "database.url: SQLite needs a volume that outlives the pod; set database.sqlite.existingClaim to a PersistentVolumeClaim, or use postgres://…" -}}
{{- end -}}
{{- if not (hasPrefix "sqlite:///var/lib/signet/" $database.url) -}}
{{- fail "database.url: in a cluster an SQLite file lies on the claim, below /var/lib/signet; use sqlite:///var/lib/signet/signet.db" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The settings every container of ours runs under: the restricted Pod Security Standard. The user is the image's. */}}
{{- define "signet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* {root, component}: where a component's pods may go. */}}
{{- define "signet.placement" -}}
{{- $values := index .root.Values .component -}}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  {{- if $values.affinity }}
  {{- toYaml $values.affinity | nindent 2 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "signet.selector" . | nindent 14 }}
  {{- end }}
{{- end }}

{{/* Seconds the kubelet waits for central: its own grace, and ten more. */}}
{{- define "signet.graceSeconds" -}}
{{- $grace := .Values.central.shutdownGrace -}}
{{- if hasSuffix "ms" $grace -}}
11
{{- else if hasSuffix "m" $grace -}}
{{ add 10 (mul 60 (trimSuffix "m" $grace | int)) }}
{{- else -}}
{{ add 10 (trimSuffix "s" $grace | int) }}
{{- end -}}
{{- end }}
