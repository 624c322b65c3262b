// Package api serves what a tracker knows over HTTP, and passes on what operators ask for.
//
// [New] makes a [Server] from a [Source]; [Server.ListenAndServe] serves it. All routes are
// under Config.BasePath: the API under /api/v1, described by /api/v1/openapi.json ([OpenAPI]),
// the page under /, and /livez, /readyz and /metrics.
//
// # Who may do what
//
// There is one gate for all routes, and each route names the least [Role] that it takes.
// A viewer reads. An operator also acts on sagas and redrives dead letters. An admin may do
// everything. Who sees payloads is a matter of Config.Payloads.
//
// On a loopback address the server may run without authentication: whoever is on the machine
// is an admin. The names that a browser may know it by are then bounded, so that no page of another
// site gets hold of it by a name that it points there (DNS rebinding). On any other address the
// server starts only with Config.Tokens or Config.OIDC set. Tokens come in the header
// "Authorization: Bearer …" alone, never in a cookie or a URL.
//
// # Problems
//
// Errors are application/problem+json after RFC 9457. Their codes are stable:
//
//	bad-parameter       400  a query parameter is unknown or has a bad value; "parameter" names it
//	bad-cursor          400  a cursor does not belong to the query
//	bad-body            400  a body is no JSON of the right form; "parameter" names the field
//	unauthenticated     401  there is no token, or it is not valid
//	forbidden           403  the role may not do this
//	cross-origin        403  a page of another site sent it
//	not-found           404  there is no such address
//	saga-not-found      404  there is no such saga, or it is forgotten
//	definition-not-found 404 nobody has published this version
//	group-not-found     404  there are no dead letters of this group, any more
//	action-not-found    404  the saga's log holds no action of this event id
//	method-not-allowed  405  the address does not take the method
//	refused             409  it makes no sense where the saga stands; "detail" says why
//	too-large           413  the body is too large
//	unsupported-media-type 415 the body is not application/json
//	wrong-host          421  the Host header is none that the server answers to
//	internal            500  a fault of the server; its log says more
//	not-available       501  this tracker is not set up for it
//	unavailable         503  what the answer needs cannot be reached now
//	timeout             504  the answer took too long
//
// # Actions and what comes of them
//
// POST /api/v1/sagas/{saga} starts a saga, POST /api/v1/sagas/{saga}/{id}/actions acts on one. Both are
// answered with 202 once the command stands in the saga's log: the services have the last word.
// The header Location, and "event_id", say where that is told: GET
// /api/v1/sagas/{saga}/{id}/actions/{event_id}?wait=10 waits up to so many seconds, and
// tells "pending", "accepted" or "rejected", with the event that is the answer.
//
// # Ids in paths
//
// An id may hold anything but control characters: percent-encode it as one part of the path,
// slashes, too. An id of one or two dots, which browsers and proxies take for a folder, has a '~' before
// it, and one more where it has some already: "~.." is "..", "~~." is "~.".
//
// # Several trackers
//
// Where several trackers share the partitions, an answer is of all of them. It names in "missing", and in
// the header Choreo-Partial, those that are away: what they know is not in it. With strict=1 it
// fails with "unavailable" instead. "freshness" is that of the one that is furthest behind, with each
// of them in "parts".
//
// # Live changes
//
// GET /api/v1/live sends server-sent events: "saga" with a snapshot that has changed and that
// the filter chooses, "freshness", "ping", and "reset" where changes were left out: ask for
// the list again.
// Last-Event-ID goes on after an event, while the server still has what came after it.
package api
