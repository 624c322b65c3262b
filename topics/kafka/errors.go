package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	segmentio "github.com/segmentio/kafka-go"

	"github.com/choreo-go/choreo/topics"
)

// passing reports whether the fault may pass, so that trying again makes sense. All
// that is not an answer of a broker is: connections break and come back.
func passing(err error) bool {
	var (
		code        segmentio.Error
		certificate *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(err, topics.ErrClosed), errors.As(err, &certificate):
		return false
	case errors.As(err, &code):
		return code.Temporary() || code == segmentio.Unknown || code == segmentio.BrokerNotAvailable ||
			code == segmentio.ReplicaNotAvailable
	}
	return true
}

// unknownTopic reports whether a broker said that it does not know the topic.
func unknownTopic(err error) bool { return errors.Is(err, segmentio.UnknownTopicOrPartition) }

// tooLarge reports whether a broker refused a batch for its size.
func tooLarge(err error) bool {
	return errors.Is(err, segmentio.MessageSizeTooLarge) || errors.Is(err, segmentio.RecordListTooLarge)
}

// refused are the answers by which a group refuses a member for good.
var refused = []segmentio.Error{
	segmentio.GroupAuthorizationFailed, segmentio.TopicAuthorizationFailed, segmentio.ClusterAuthorizationFailed,
	segmentio.SASLAuthenticationFailed, segmentio.UnsupportedSASLMechanism, segmentio.IllegalSASLState,
	segmentio.InvalidGroupId, segmentio.InvalidSessionTimeout, segmentio.InconsistentGroupProtocol,
	segmentio.InvalidTopic, segmentio.UnsupportedVersion, segmentio.GroupMaxSizeReached,
}

// forGood reports whether a consumer cannot go on after err.
func forGood(err error) bool {
	if err == nil {
		return false
	}
	var (
		code        segmentio.Error
		certificate *tls.CertificateVerificationError
	)
	if errors.As(err, &certificate) {
		return true
	}
	return errors.As(err, &code) && slices.Contains(refused, code)
}

// answered reports whether a coordinator that is ready has answered: err is its answer.
func answered(err error) bool {
	var code segmentio.Error
	if err == nil {
		return true
	}
	return errors.As(err, &code) && code != segmentio.Unknown && code != segmentio.BrokerNotAvailable &&
		code != segmentio.GroupLoadInProgress && code != segmentio.GroupCoordinatorNotAvailable &&
		code != segmentio.NotCoordinatorForGroup
}

// codeError returns a broker's error code as an error, nil for 0.
func codeError(code int16) error {
	if code == 0 {
		return nil
	}
	return segmentio.Error(code)
}

// ended says that ctx ended while fault, if any, was being retried.
func ended(ctx context.Context, fault error) error {
	cause := context.Cause(ctx)
	if fault == nil {
		return cause
	}
	return fmt.Errorf("%w; the last fault was: %w", cause, fault)
}
