// Package definition makes a choreography an artefact that is checked before anything runs: a
// file that services of all languages share, compare and agree on.
//
// A [Document] is a [choreo.Definition] together with the schemas of its payloads. It comes from
// YAML by [Load], [LoadFile] or [Parse], or from Go by [FromGo], and goes back to YAML by
// [Format] and [Document.Save]. [Lint] finds what is wrong with documents, [Diff] says what a
// change means to running sagas, and [Compare] holds what a service is about to do against
// the [Contract] that each other service has published.
//
// # Files
//
// A file holds one version of one saga; a further version is a further file.
//
//	# yaml-language-server: $schema=https://…/definition.schema.json
//	saga: order
//	version: 1
//	encoding: avro              # avro, protobuf, json, or any media type
//	deadline: 30m
//	compensation: reverse       # reverse, parallel, best-effort, custom
//	input: OrderPlaced
//	payloads:                   # paths from this file on
//	  OrderPlaced: {schema: order-placed.avsc}
//	  OrderCreated: {schema: order-created.avsc}
//	  OrderTotals: {schema: order-totals.avsc}
//	steps:
//	  create-order:
//	    owner: orders
//	    output: OrderCreated
//	  charge-payment:
//	    owner: payments
//	    after: [create-order]
//	    reads: {create-order: OrderTotals}   # by a schema of its own
//	    timeout: 10s
//	    retry: {backoff: exponential, attempts: 5, initial: 100ms, max: 10s, factor: 2, jitter: 0.5}
//	    refuses: [insufficient-funds]
//
// [JSONSchema] describes all keys, for editors. A .proto file needs "message", the full name of
// the message, besides; what a schema imports stands in "imports". In "reads", "input" is the
// saga's input.
//
// [Format] gives the one form that stands for a document: Format of what [Parse] read of it is the
// same again. Defaults are left out, and comments are not kept: a file that people write need not be
// in that form. Anchors and aliases are read; merge keys are not.
//
// Functions do not stand in files. Who owns a step with a condition or a filter hands them over
// as a [choreo.Binding]; to others the name says enough.
//
// # Contracts
//
// A service publishes its [Contract] to the topic of definitions when it starts, as the record
// "contract/<service>": which versions of sagas it knows, by [Fingerprint], the steps that it
// owns in them, the schemas by which it writes and reads, and the definitions themselves, so
// that whoever looks on knows the graph: definitions have no records of their own, for the
// definition of a saga is what its services agree on. [Compare] finds what contradicts the others;
// [Contract.Encode] and [ContractJSONSchema] tell its JSON form.
//
// # Codes
//
// Codes are stable. Those of files ([Load], [Parse]):
//
//	yaml                    the file is no YAML, is empty, or holds a second document
//	too-large               the file is larger than any definition
//	unknown-key             there is no such key at this place
//	duplicate-key           a key stands there twice
//	missing-key             a key is not there that must be
//	wrong-type              a value is of another type than its key wants
//	encoding                an encoding is no media type
//	schema-file             the file of a schema cannot be used
//	view                    a step reads something by a schema of its own that it does not read at all
//	unknown-payload         a step reads by a payload that is not there
//
// Those of package choreo:
//
//	name                    a name does not suit topics, events and shells
//	version                 versions start at 1
//	no-steps                a saga needs a step
//	no-owner                nobody owns a step
//	duplicate-step          a step is defined twice
//	unknown-step            a step is named that is not there
//	duplicate-reference     a step is named twice in one list
//	cycle                   steps wait for each other in a circle
//	strategy                there is no such order of compensation
//	pivots                  there are two pivots
//	pivot                   the pivot may be bypassed
//	beside-pivot            a step runs beside the pivot
//	past-pivot              a step past the pivot could refuse or be undone
//	condition               a condition has no name or no function
//	compensate-when         a filter of failures has no name, no function or no use
//	undo-after              an order of undoing has no use there
//	undo-cycle              steps wait for each other to be undone
//	undo-data               a compensation needs data that nobody carries to it
//	uses                    a step reads an output that may not exist yet
//	type                    the Go types of two steps do not meet
//	payload-name            two Go types have one name
//	refusals                a code of refusal is empty or there twice
//	deadline                the deadline is negative
//	timeout                 a timeout is negative
//	retry                   a retry policy makes no sense
//	binding                 a function is given for a name that no step has
//
// Those of [Lint]:
//
//	namespace               the namespace cannot begin the names of topics (error)
//	duplicate-version       two documents are one version of one saga (error)
//	unknown-owner           a step is owned by none of the services (error)
//	bad-schema              a schema cannot be understood (error)
//	schema-kind             a schema is of another kind than the payload's encoding (error)
//	cannot-read             a reader's schema does not read what the writer's writes (error, warning)
//	no-schema               a payload has no schema (warning, info)
//	versions-differ         two versions of a saga write records of one name that one cannot read as the other (warning)
//	uses-repeats            a step names an output that it gets already (warning)
//	not-undone              what a step did stays when another refuses (warning)
//	past-pivot-one-attempt  a step that can only go forward is not retried (warning)
//	deadline-short          the deadline may pass while all goes as it should (warning)
//	deadline-unbounded      whether the deadline suffices cannot be told (info)
//	undo-long               undoing may take longer than the deadline, which does not bound it (info)
//	unread-output           no step reads an output (info)
//	unused-payload          nothing writes or reads a payload (info)
//
// Those of [Compare]:
//
//	fingerprint-differs     another service runs another definition under the same version (error, warning)
//	two-owners              two services own one step (error)
//	not-owned               the owner of a step does not know that it is (error)
//	version-unknown         a service that owns a step does not know the version yet (warning)
//	cannot-read             one service does not read what another writes (error, warning)
//
// Those of [Diff], with what they may mean to running sagas:
//
//	other-saga              the documents are of different sagas (informational)
//	version-changed         it is another version (informational)
//	service-added           a service takes part that did not (informational)
//	service-removed         a service takes no part any more (informational)
//	step-added              a step is new (unsafe-for-running, informational)
//	step-removed            a step is gone (unsafe-for-running, informational)
//	owner-changed           a step has another owner (unsafe-for-running, informational)
//	after-changed           a step waits for others (unsafe-for-running, informational)
//	uses-changed            a step is carried other outputs (unsafe-for-running, informational)
//	undo-after-changed      a step is undone after others (unsafe-for-running, informational)
//	compensation-changed    steps are undone in another order, or a step now or no more (unsafe-for-running, informational)
//	pivot-changed           a step became the pivot, or is it no more (unsafe-for-running, informational)
//	optional-changed        a step became optional, or is it no more (unsafe-for-running, informational)
//	condition-changed       a step runs on another condition (unsafe-for-running, needs-new-version, informational)
//	filter-changed          another filter decides at a step's failure (unsafe-for-running, needs-new-version, informational)
//	encoding-changed        a payload is encoded in another way (needs-new-version, informational)
//	schema-changed          a payload has another schema (safe, unsafe-for-running, informational)
//	view-changed            a step reads by another schema (safe, unsafe-for-running, informational)
//	schema-added            a payload got a schema (safe)
//	schema-removed          a payload has no schema any more (safe)
//	payload-renamed         a payload has another name (safe)
//	deadline-changed        the deadline is another (safe)
//	timeout-changed         a timeout is another (safe)
//	retry-changed           a retry policy is another (safe)
//	refusals-changed        a step may refuse with other codes (safe)
package definition
