// Package servers gives tests and benchmarks a real Apache Kafka, a real PostgreSQL, a
// real schema registry and a real Redis. For each of them it takes the first that there is:
//
//  1. the addresses in CHOREO_TEST_BROKERS (host:port, separated by commas),
//     CHOREO_TEST_POSTGRES (a connection string whose role may create databases),
//     CHOREO_TEST_REGISTRY (a URL) and CHOREO_TEST_REDIS (a URL);
//  2. a container, where a Docker engine answers;
//  3. the local server that integration/scripts/kafka.sh, postgres.sh, registry.sh
//     and redis.sh run.
//
// Else the test is skipped and says what to do about it. With
// CHOREO_TEST_REQUIRE_SERVERS=1 no test is skipped: local servers that do not run yet
// are started (and left running: "make servers-down" ends them), and what is still
// missing fails the test.
//
// Tests in a browser run where none is skipped, or with CHOREO_TEST_BROWSER=1: see [Browser].
//
// Containers are started once a process, live until [Main] ends and are then removed.
// Local servers are shared by all processes, so that tests bring their own names of
// topics, groups and subjects; [Postgres] gives each call a database of its own.
//
// Tests that stop a server ask for its [Control]. There is one for a container, for a
// local server if CHOREO_TEST_REQUIRE_SERVERS is 1, and for an address from the
// environment if CHOREO_TEST_KAFKA_CONTROL, CHOREO_TEST_POSTGRES_CONTROL,
// CHOREO_TEST_REGISTRY_CONTROL or CHOREO_TEST_REDIS_CONTROL names a program that takes the arguments start, stop and kill,
// and for PostgreSQL immediate, as those scripts do. Such tests must not run beside others: they do not call
// t.Parallel, and packages that use the same servers run one after the other
// ("go test -p 1").
package servers
