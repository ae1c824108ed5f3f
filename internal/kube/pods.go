package kube

// SpeakerPodLabels select the speaker Pods in their namespace; the chart sets them.
func SpeakerPodLabels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "belfry", "app.kubernetes.io/component": "speaker"}
}
