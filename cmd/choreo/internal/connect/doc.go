// Package connect finds out how to reach the brokers and the registry, from flags, the
// environment and a profile file, and connects. A flag counts before the environment, that
// before the profile, that before the default. Secrets are in files or in the environment,
// never in a flag, which every process of the machine could read.
package connect
