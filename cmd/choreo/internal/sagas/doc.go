// Package sagas is how the command line sees sagas and acts on them: through the API of a
// tracker, or straight from the topics of the cluster. Commands do not know which.
package sagas
