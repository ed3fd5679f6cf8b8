{{- define "helenus.name" -}}
{{- if contains "helenus" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-helenus" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "helenus.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "helenus.selector" . }}
{{- end }}

{{- define "helenus.selector" -}}
app.kubernetes.io/name: helenus
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "helenus.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "helenus.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "helenus.image" -}}
{{ required "image.repository: name an image of helenus" .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{/* The part of a pod that all roles share. */}}
{{- define "helenus.pod" -}}
serviceAccountName: {{ include "helenus.serviceAccount" . }}
automountServiceAccountToken: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Image and settings of a container; a dict of root, login and further environment variables. */}}
{{- define "helenus.container" -}}
{{- $root := .root -}}
{{- $login := default $root.Values.cassandra.loginSecret .login -}}
image: {{ include "helenus.image" $root | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
  - configMapRef: {name: {{ include "helenus.name" $root }}}
{{- if or $login .env }}
env:
  {{- if $login }}
  - name: HELENUS_USERNAME
    valueFrom: {secretKeyRef: {name: {{ $login }}, key: username}}
  - name: HELENUS_PASSWORD
    valueFrom: {secretKeyRef: {name: {{ $login }}, key: password}}
  {{- end }}
  {{- range $name, $value := .env }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
{{- end }}
{{- end }}

{{- define "helenus.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.cassandra.tls.enabled }}
- {name: cassandra-tls, mountPath: /etc/helenus/cassandra-tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "helenus.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if .Values.cassandra.tls.enabled }}
- name: cassandra-tls
  secret: {secretName: {{ required "cassandra.tls.secret: name the secret with ca.crt" .Values.cassandra.tls.secret }}}
{{- end }}
{{- end }}
