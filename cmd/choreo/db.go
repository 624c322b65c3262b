package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/database"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
)

// dbNoun is "choreo db".
func (c *cli) dbNoun() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "db",
		Short: "make and check the tables of services and trackers",
		Long: `Makes and checks the tables that a service needs in its database, or a tracker
in that of its model. Services may do it themselves at their start, by Migrate;
here it is done by whoever may change tables.`,
		Example: `  choreo db status --database sqlite:orders.db
  CHOREO_DATABASE_FILE=dsn.txt choreo db migrate --database-schema orders`,
	}, c.dbStatus(), c.dbMigrate())
}

// tables is what is told of a database.
type tables struct {
	Database string          `json:"database"` // its kind
	Tables   database.Tables `json:"tables"`
	Schema   string          `json:"schema,omitempty"`
	Version  int             `json:"version"`
	Build    int             `json:"build"` // the version that this build works with
	State    string          `json:"state"` // current, pending, none or newer
}

func (t *tables) judge() {
	switch {
	case t.Version == t.Build:
		t.State = "current"
	case t.Version == 0:
		t.State = "none"
	case t.Version < t.Build:
		t.State = "pending"
	default:
		t.State = "newer"
	}
}

func kinds() []string { return []string{string(database.Outbox), string(database.Tracker)} }

// withDatabase opens the database that is named, and calls do with it.
func (c *cli) withDatabase(cmd *cobra.Command, of string, create bool, do func(ctx context.Context, db *database.Database, t *tables) error) error {
	settings, ctx, cancel, err := c.connection(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	db, err := database.Open(ctx, settings.Database, settings.DatabaseSchema, database.Tables(of), create)
	if err != nil {
		return err
	}
	t := &tables{Database: db.Kind, Tables: database.Tables(of), Schema: settings.DatabaseSchema}
	if t.Version, t.Build, err = db.Version(ctx); err == nil {
		t.judge()
		err = do(ctx, db, t)
	}
	return errors.Join(err, db.Close())
}

func (c *cli) tablesReport(t *tables) error {
	return out.One(c.printer(), t, func(text *out.Text, t *tables) {
		style, says := out.Green, "nothing to do"
		switch t.State {
		case "none":
			style, says = out.Yellow, "there are none: 'choreo db migrate' makes them"
		case "pending":
			style, says = out.Yellow, "'choreo db migrate' brings them to this build"
		case "newer":
			style, says = out.Red, "a newer build has migrated them: use that one"
		}
		text.Para("", "%s, tables of the %s: version %d, this build has %d", t.Database, t.Tables, t.Version, t.Build)
		text.Line(out.S(style, "%s", says))
	})
}

// dbStatus is "choreo db status".
func (c *cli) dbStatus() *cobra.Command {
	var of string
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "say which version the tables have",
		Long: `Says which version the tables have, and which one this build works with. Nothing
is changed. The exit code is 1 where they differ.`,
		Example: `  choreo db status --database sqlite:orders.db
  choreo db status --tables tracker --database postgres://choreo@db/choreo`,
		Args:              between(0, 0, ""),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd, of, false, func(_ context.Context, _ *database.Database, t *tables) error {
				if err := c.tablesReport(t); err != nil || t.State == "current" {
					return err
				}
				return exit.ErrFindings
			})
		},
	}
	c.reports(cmd)
	choiceFlag(cmd, &of, "tables", "", string(database.Outbox), kinds(), "whose tables")
	connect.Flags(cmd.Flags(), connect.Database)
	return cmd
}

// dbMigrate is "choreo db migrate".
func (c *cli) dbMigrate() *cobra.Command {
	var of string
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "migrate [flags]",
		Short: "make the tables, or bring them to this build's version",
		Long: `Makes the tables, or brings them to the version that this build works with.
Several may do it at once. A database that a newer build has migrated is left as
it is, which is an error.`,
		Example: `  choreo db migrate --database sqlite:orders.db --yes
  CHOREO_DATABASE_FILE=dsn.txt choreo db migrate --database-schema orders`,
		Args:              between(0, 0, ""),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd, of, !dryRun, func(ctx context.Context, db *database.Database, t *tables) error {
				if dryRun || t.State == "current" {
					return c.tablesReport(t)
				}
				if t.State != "newer" { // which Migrate refuses, and says why
					if err := c.confirm(yes, fmt.Sprintf("Bring the tables of the %s from version %d to %d?", t.Tables, t.Version, t.Build)); err != nil {
						return err
					}
				}
				if err := db.Migrate(ctx); err != nil {
					return err
				}
				c.say("Migrated.")
				var err error
				if t.Version, t.Build, err = db.Version(ctx); err != nil {
					return err
				}
				t.judge()
				return c.tablesReport(t)
			})
		},
	}
	c.reports(cmd)
	choiceFlag(cmd, &of, "tables", "", string(database.Outbox), kinds(), "whose tables")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and change nothing")
	connect.Flags(cmd.Flags(), connect.Database)
	return cmd
}
