// Package page is the tracker's page in the browser: where sagas hang, why they were undone and
// what comes next. It is plain files that are embedded, needs no build and asks the HTTP
// API under "api/v1" beside it for all that it shows.
//
// Nothing in it runs or styles from within the document: it lives under a Content-Security-Policy
// that knows its own origin alone, and every string of a service is set as text.
package page
