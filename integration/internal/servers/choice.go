package servers

import (
	"context"
	"fmt"
	"os"
	"strings"
)

const (
	kafkaName    = "Apache Kafka"
	postgresName = "PostgreSQL"
	registryName = "schema registry"
	redisName    = "Redis"
)

// server is a Kafka, a PostgreSQL, a schema registry or a Redis that tests can use.
type server struct {
	address string   // brokers, separated by commas, a connection string, or a URL
	control *Control // nil where the server must be left alone
	remove  func(context.Context) error
}

// choice is what a server can be chosen from, in this order.
type choice struct {
	name     string
	address  string // from the environment
	control  string // program that controls the server at address
	variable string // name of the environment variable of address
	required bool   // start a local server that does not run, and let tests stop it

	container func(context.Context) (*server, error)
	local     *script
}

// choose returns the first server that there is. Its error says for each what is
// missing and which command would help.
func (c choice) choose(ctx context.Context) (*server, error) {
	if c.address != "" {
		s := &server{address: c.address}
		if c.control != "" {
			s.control = (&script{path: c.control}).Control()
		}
		return s, nil
	}
	s, containerErr := c.container(ctx)
	if containerErr == nil {
		return s, nil
	}
	if c.required {
		if err := c.local.run(ctx, "start"); err != nil {
			return nil, c.missing(containerErr, err)
		}
	}
	address, err := c.local.address(ctx)
	if err != nil {
		return nil, c.missing(containerErr, err)
	}
	s = &server{address: address}
	// Others may be using the local server: other packages that "go test ./..." runs at
	// the same time, or a person. It is stopped only for those who asked for all tests.
	if c.required {
		s.control = c.local.Control()
	}
	return s, nil
}

func (c choice) missing(container, local error) error {
	var b strings.Builder
	fmt.Fprintf(&b, "this test needs a real %s: run \"make integration\", which starts one, or \"make servers-up\" before the test", c.name)
	fmt.Fprintf(&b, "\n  %s is not set", c.variable)
	fmt.Fprintf(&b, "\n  container: %v", container)
	fmt.Fprintf(&b, "\n  local server: %v", local)
	return fmt.Errorf("%s", b.String())
}

func kafkaChoice() choice {
	return choice{
		name: kafkaName, variable: "CHOREO_TEST_BROKERS",
		address:   trimmed(os.Getenv("CHOREO_TEST_BROKERS")),
		control:   os.Getenv("CHOREO_TEST_KAFKA_CONTROL"),
		required:  required(),
		container: inContainer(dockerEngine, kafkaContainer),
		local:     localScript("kafka.sh", "brokers"),
	}
}

func postgresChoice() choice {
	return choice{
		name: postgresName, variable: "CHOREO_TEST_POSTGRES",
		address:   os.Getenv("CHOREO_TEST_POSTGRES"),
		control:   os.Getenv("CHOREO_TEST_POSTGRES_CONTROL"),
		required:  required(),
		container: inContainer(dockerEngine, postgresContainer),
		local:     localScript("postgres.sh", "dsn"),
	}
}

func registryChoice() choice {
	return choice{
		name: registryName, variable: "CHOREO_TEST_REGISTRY",
		address:   os.Getenv("CHOREO_TEST_REGISTRY"),
		control:   os.Getenv("CHOREO_TEST_REGISTRY_CONTROL"),
		required:  required(),
		container: inContainer(dockerEngine, registryContainer),
		local:     localScript("registry.sh", "url"),
	}
}

func redisChoice() choice {
	return choice{
		name: redisName, variable: "CHOREO_TEST_REDIS",
		address:   os.Getenv("CHOREO_TEST_REDIS"),
		control:   os.Getenv("CHOREO_TEST_REDIS_CONTROL"),
		required:  required(),
		container: inContainer(dockerEngine, redisContainer),
		local:     localScript("redis.sh", "url"),
	}
}

// trimmed returns a list without the blanks that people write after commas.
func trimmed(list string) string { return strings.Join(strings.Fields(list), "") }
