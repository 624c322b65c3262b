// Package tracker folds the logs of sagas into snapshots, so that people and programs can ask
// where each saga stands, why it was turned back and what is still to come. It decides
// nothing: stop it, and no saga notices.
package tracker
