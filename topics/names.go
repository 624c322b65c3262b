package topics

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// The last words of topic names.
const (
	eventsSuffix  = ".events"
	trackerSuffix = ".tracker"
)

// maxNamespace leaves room for ".<saga>.tracker" with a saga name of 80 bytes, the
// most that a definition may have, in the 249 bytes that Kafka allows a topic.
const maxNamespace = 249 - len(trackerSuffix) - 80 - 1

var namespacePattern = regexp.MustCompile(`^[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*$`)

// Names makes the names of topics and consumer groups of one namespace. Make it with
// [NewNames]; two of the same namespace are equal.
type Names struct{ namespace string }

// NewNames returns the names of a namespace: words of letters, digits and '-', joined
// by '.', of at most 160 bytes.
func NewNames(namespace string) (Names, error) {
	switch {
	case namespace == "":
		return Names{}, errors.New("topics: the namespace is empty: name one, such as \"choreo\"")
	case !namespacePattern.MatchString(namespace):
		return Names{}, fmt.Errorf("topics: namespace %q: use words of letters, digits and '-', joined by '.'", namespace)
	case len(namespace) > maxNamespace:
		return Names{}, fmt.Errorf("topics: the namespace is %d bytes long: at most %d leave room for the rest of a topic name",
			len(namespace), maxNamespace)
	}
	return Names{namespace: namespace}, nil
}

// Events returns the topic of a saga's events.
func (n Names) Events(saga string) string { return n.namespace + "." + saga + eventsSuffix }

// Tracker returns the topic of the snapshots of a saga's instances.
func (n Names) Tracker(saga string) string { return n.namespace + "." + saga + trackerSuffix }

// DeadLetters returns the topic of records that a service could not handle.
func (n Names) DeadLetters() string { return n.namespace + ".dlq" }

// Definitions returns the topic of saga definitions.
func (n Names) Definitions() string { return n.namespace + ".definitions" }

// Schemas returns the topic of payload schemas.
func (n Names) Schemas() string { return n.namespace + ".schemas" }

// Participants returns the topic in which the processes of services tell how they stand.
func (n Names) Participants() string { return n.namespace + ".participants" }

// Group returns the consumer group of a service.
func (n Names) Group(service string) string { return n.namespace + "." + service }

// ServiceOf returns the service whose consumer group this is, and false for any other group.
func (n Names) ServiceOf(group string) (string, bool) {
	service, inNamespace := strings.CutPrefix(group, n.namespace+".")
	return service, inNamespace && service != ""
}

// SagaOf returns the saga whose events topic this is, and false for any other topic.
func (n Names) SagaOf(topic string) (string, bool) {
	rest, inNamespace := strings.CutPrefix(topic, n.namespace+".")
	saga, events := strings.CutSuffix(rest, eventsSuffix)
	if !inNamespace || !events || saga == "" || strings.Contains(saga, ".") {
		return "", false
	}
	return saga, true
}
