package topics

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// WithDefaults returns a copy with every default filled in, or an error that names
// each field at fault. Adapters call it at the start of [Log.Consume].
func (c ConsumeConfig) WithDefaults() (ConsumeConfig, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("topics: ConsumeConfig."+format, args...))
	}
	if c.Group == "" {
		fault("Group is empty: name the consumer group")
	}
	if len(c.Topics) == 0 {
		fault("Topics is empty: name the topics to read")
	}
	for i, topic := range c.Topics {
		if topic == "" {
			fault("Topics[%d] is empty", i)
		} else if slices.Contains(c.Topics[:i], topic) {
			fault("Topics[%d]: %s stands here twice", i, topic)
		}
	}
	count := func(name string, field *int, value int) {
		if *field < 0 {
			fault("%s is %d: use a positive number, or 0 for %d", name, *field, value)
		} else if *field == 0 {
			*field = value
		}
	}
	count("Lanes", &c.Lanes, 32)
	count("BatchMax", &c.BatchMax, 64)
	count("InFlight", &c.InFlight, 4096)
	duration := func(name string, field *time.Duration, value time.Duration) {
		if *field < 0 {
			fault("%s is %s: use a positive duration, or 0 for %s", name, *field, value)
		} else if *field == 0 {
			*field = value
		}
	}
	duration("SessionTimeout", &c.SessionTimeout, 10*time.Second)
	duration("CommitEvery", &c.CommitEvery, 100*time.Millisecond)
	c.Topics = slices.Clone(c.Topics)
	return c, errors.Join(faults...)
}
