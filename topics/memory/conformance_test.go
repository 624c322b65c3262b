package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/memory"
	"github.com/choreo-go/choreo/topics/topicstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	topicstest.Exercise(t, func(*testing.T) topics.Log { return memory.New(memory.Options{}) })
}
