package sqlite

// Walk lets the model read every page along an index, however few sagas a condition chooses.
func (m *Model) Walk() { m.dialect.Few = 0 }
