// Package participant is the library that a service embeds to take part in sagas.
//
// A [Participant] reads the events of its sagas from the log, lets the rules of
// package choreo decide, runs the service's handlers in transactions of the
// service's own database, and publishes the resulting events through the outbox in
// that database. There is no coordinator: each service moves its own steps.
//
//	p, err := participant.New(log, postgres.New(pool, nil), &participant.Config{
//		Service: "payments",
//		Sagas:   []choreo.AnySaga{contract.Order},
//	})
//	participant.Handle(p, contract.ChargeCard, chargeCard{})
//	err = p.Run(ctx)
//
// # What is promised
//
// Execute commits at most once per saga and step, and so does Compensate, whatever
// is redelivered, crashes or runs twice. Its business writes, the step's row and the
// events commit together or not at all. What a handler does outside its transaction
// happens at least once: pass [Call.IdempotencyKey] on.
//
// # Failures
//
// An outage of the database or the broker is never a step's failure: the participant
// waits, tries again, says so in its log and in [Participant.Health], and goes on. A
// handler's error is classified by package choreo. A record that is no event,
// or whose saga this service does not know by name, goes to the dead-letter topic as it was.
//
// # Shared transactions
//
// Steps of different sagas share a transaction where their handlers say [Local], and so do events
// that need no handler: what queues up while one is under way forms the next, one saga when
// there is little to do, up to Config.GroupMax when there is much. No time is waited for others to come.
// A step whose handler does not say so has a transaction of its own, since Choreo cannot know that it
// does not call out, and a call would keep open the transaction of all.
//
// Sagas that [Start] starts at the same moment share a transaction as well. So it is many calls side by
// side that make it fast: one after the other, each waits for a commit of its own.
//
// What a handler did that fails is undone by itself and its failure recorded with what the others did.
// A step that lately failed after it had sent something to the database is made undoable beforehand, by a
// savepoint; where another one fails, the transaction is rolled back and run again without it. Waits for locks end after 100 ms there; then
// groups, of all processes of the service, take turns for a while, and if that does not help they shrink,
// down to one saga. What a group cannot do (a saga that is parked, a version that is not known, a
// database that is away, a commit of unknown outcome) is done event by event, each by itself.
//
// # Payloads and versions
//
// A payload is written as the definition says ([choreo.Encoding], StepOf.Encoding), else by
// Config.Codec, and read by what it says of itself: so a definition may be encoded otherwise
// from one version to the next, and services move over one by one. Config.Codecs holds what is
// needed besides. Codecs that ask a schema registry do so before anything is read: Run waits
// for one that does not answer, and returns the error of one that refuses.
//
// A saga keeps the version that it began with. Handlers are bound in all versions of
// Config.Sagas that have the step, and one that is bound by [InVersions] goes before in its
// versions:
//
//	participant.Handle(p, contract.ChargeCard, chargeCard{})
//	participant.Handle(p, contract.ChargeCardV3, chargeInCents{}, participant.InVersions(3))
//
// # Contracts
//
// Before a participant reads anything it publishes its contract to the topic
// <namespace>.definitions: the definitions that it goes by, the steps that it owns, the
// schemas of what it writes and reads as far as its codecs tell them (schema.Describer), and its
// build. Where that contradicts what other services have published, such as by another
// definition under the same version, or by a payload that one of them could not read, Run
// returns an error that names each contradiction and what would mend it; see
// Config.IgnoreContracts. So deploy who writes a further field before who cannot do without it.
//
// The topic has one contract of a service: that of the build that was started last. The
// contract of a service that is no more goes by a tombstone for its key, "contract/<service>".
// Without the topic nothing is published or checked, and the log says so.
//
// # Parked sagas
//
// A build that cannot go on with a saga does not fail it, for another build may be able to. It
// parks the saga: the event that it cannot handle, and all later ones of the saga, wait in
// the service's database, in order; other sagas flow. The reasons, by the code that
// the SagaParked event carries, are
//
//	unknown-version      Config.Sagas does not have the version that the saga runs by
//	undecodable-payload  no codec of Config can read what a step gets, or was to be undone with
//	no-handler           a step has no handler, see Config.ParkUnhandled
//
// A parked saga goes on by itself: all are tried when a process starts, and each a minute after
// it was parked, then after two minutes, and so on up to an hour. [Release] has it tried at
// once. When all that waited is handled, the service says SagaReleased. Events
// that have waited for longer than Config.Horizon are dead-lettered when their turn comes. So,
// before sagas of a new version are started, have every service that knows the saga name that
// version in Config.Sagas, also one that has no step in it any more; whatever comes too early is
// parked meanwhile.
//
// # Starts on request
//
// A saga is also started where StartRequested stands in its log, such as for an operator's tool
// (see topics/command), if Config.Service is its target. The service answers once with Started,
// in the same partition, or with StartRejected, whose code says why not: "exists", "unknown-version",
// "not-initiator" (it owns no first step of the saga), "undecodable-payload" or "invalid-id". A
// request that is older than Config.Horizon is dead-lettered.
//
// # Status
//
// Each process tells every Config.StatusEvery how it stands, and what waits in its database and
// why, in the topic topics.Names.Participants: see topics.Status. No saga waits for that.
//
// # Bounds
//
// What is over a bound waits, it does not fail. Other saga frameworks bound by settings such
// as these:
//
//	theirs              here
//	MaxConcurrentSagas  Config.MaxOpenSagas, of each definition and over all processes: sagas over
//	                    it wait in the database for their start
//	WorkerPoolSize      Config.Lanes, how many sagas are worked on side by side in a process, and
//	                    Config.StepLimits, how many handlers of one step: what is over it waits in
//	                    the database, and holds up neither its lane nor other steps
//	AcquireTimeout      none: to wait costs no thread and no connection. A queued saga's deadline
//	                    counts from its admission; to end the wait, call Cancel
//	ShutdownTimeout     Config.StopTimeout
//	(prefetch)          Config.InFlight, how many events are fetched and not yet handled
package participant
