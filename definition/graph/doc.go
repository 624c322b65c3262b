// Package graph draws a saga: as [Mermaid] for Markdown, as [DOT] for Graphviz, and as an
// [SVG] of its own that needs neither.
//
// All three say the same. Steps belong to the service that owns them. A solid arrow goes from
// a step to one that waits for it, a thin dashed one to a step that reads its output besides;
// both bear the name of what is handed on. Compensations run the other way: after each other
// where the saga undoes in reverse or custom order, each by itself where it undoes in
// parallel. The pivot, what lies past it, optional and conditional steps are marked.
//
// The same definition gives the same bytes. Names of payloads and conditions are free text:
// whatever stands in them, it stays text.
//
// [Arrange] is the layout beneath the SVG, for who wants to draw something else into it.
// Steps stand in layers, each below (or to the right of) all that it waits for, after
// Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system
// structures" (IEEE Transactions on Systems, Man, and Cybernetics 11(2), 1981): layers by the
// longest path, order by barycentres, and then places by isotonic regression. It counts in
// integers, so that it comes out the same on every machine.
package graph
