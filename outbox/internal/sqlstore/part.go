package sqlstore

import (
	"context"
	"errors"
	"fmt"
)

// database/sql does not show what a handler sends, so that a savepoint is made beforehand.
const (
	makeSavepoint = "SAVEPOINT choreo_part"
	dropSavepoint = "RELEASE SAVEPOINT choreo_part"
	backToPart    = "ROLLBACK TO SAVEPOINT choreo_part"
)

var errNotUndoable = errors.New("the part of the transaction cannot be undone by itself")

// Part begins a part of the transaction.
func (u *unit) Part(ctx context.Context, undoable bool) error {
	if !u.own {
		return fmt.Errorf("begin a part: the transaction is its caller's: %w", errNotUndoable)
	}
	u.undoable = false
	if !undoable {
		return nil
	}
	if u.saved { // savepoints are not to nest ever deeper
		if err := u.core.Statements.Exec(ctx, u.tx, dropSavepoint); err != nil {
			return fmt.Errorf("begin a part: %w", err)
		}
		u.saved = false
	}
	if err := u.core.Statements.Exec(ctx, u.tx, makeSavepoint); err != nil {
		return fmt.Errorf("begin a part: %w", err)
	}
	u.saved, u.undoable = true, true
	return nil
}

// UndoPart undoes what was done since Part.
func (u *unit) UndoPart(ctx context.Context) error {
	if !u.undoable {
		return fmt.Errorf("undo a part: %w", errNotUndoable)
	}
	if err := u.core.Statements.Exec(ctx, u.tx, backToPart); err != nil {
		return fmt.Errorf("undo a part: %w", err)
	}
	return nil
}
