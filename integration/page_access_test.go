package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// axe returns the rules of accessibility that a browser can check, from npm:
// https://github.com/dequelabs/axe-core
func axe(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"bash", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			unavailable(t, tool+" is not installed: integration/scripts/install.sh gets it on Debian")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "scripts/node.sh", "install").CombinedOutput(); err != nil {
		unavailable(t, "the packages cannot be had from npm: "+string(out))
	}
	home, err := exec.CommandContext(ctx, "scripts/node.sh", "home").Output()
	require.NoError(t, err)
	script, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(home)), "node_modules", "axe-core", "axe.min.js"))
	require.NoError(t, err)
	return string(script)
}

// accessible demands that a page, as it stands, breaks no rule of WCAG 2.2 at the levels A and AA,
// and follows what is known as good practice.
func (b *tab) accessible(script, what string) {
	b.t.Helper()
	if !evaluate[bool](b, `typeof window.axe === "object"`) {
		_ = evaluate[bool](b, script+"\n;true")
	}
	faults, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](`(async () => {
		for (const a of document.getAnimations()) if (a.effect.getTiming().iterations !== Infinity) a.finish(); // half a colour is none
		const { violations } = await axe.run(document, { resultTypes: ["violations"] });
		return violations.map((v) => v.impact + " " + v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + n.failureSummary).join(" | "));
	})()`, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, what)
	assert.Empty(b.t, faults, what)
}

// hasRead is true when a page has read what it shows.
const hasRead = `!document.body.textContent.includes("Loading") && !document.body.textContent.includes("Reading the log")`

// TestPageIsAccessible checks each page in both themes and widths.
func TestPageIsAccessible(t *testing.T) {
	script := axe(t)
	b := browse(t, newDesk(t))
	for _, view := range views {
		b.open(view.path)
		b.do(b.until(hasRead))
		for _, width := range []int64{1280, 390} {
			b.size(width)
			for _, theme := range []string{"light", "dark"} {
				b.theme(theme)
				b.accessible(script, fmt.Sprintf("%s, %s, %d", view.name, theme, width))
			}
		}
	}
	b.clean("404 (Not Found)")
}

// TestPageIsAccessibleInItsDialogs checks what opens, and what stands where there is nothing.
func TestPageIsAccessibleInItsDialogs(t *testing.T) {
	script := axe(t)
	d := newDesk(t)
	b := browse(t, d)
	for _, theme := range []string{"light", "dark"} {
		b.theme(theme)
		for _, dialog := range []struct{ path, opener, there string }{
			{"/sagas/order/o-20931", "[data-action=retry]", "dialog textarea"},
			{"/sagas/order/o-20931", "[data-action=done]", "dialog textarea.code"},
			{"/trouble", "[data-redrive=g1]", "dialog [data-outcome]"},
			{"/trouble", ".card:last-of-type .actions button", "dialog tbody tr"},
		} {
			b.open(dialog.path)
			b.do(click(dialog.opener), b.until(fmt.Sprintf("document.querySelector(%q)", dialog.there)))
			b.accessible(script, "the dialog of "+dialog.opener+", "+theme)
		}
		b.open("/sagas/order/o-20926")
		b.do(click(".events button[aria-expanded=false]"), b.until(`document.querySelector(".headers")`), click(".payload button"), b.until(`document.querySelector(".payload pre")`))
		b.accessible(script, "headers and a payload, "+theme)
		b.open("/sagas?q=nothing-like-that&step=a")
		b.do(b.until(`document.querySelector("main .empty")`))
		b.accessible(script, "filters that nothing fits, "+theme)
		b.open("/")
		b.do(click("summary"), b.until(`document.querySelector("details table")`))
		b.accessible(script, "the chart as a table, "+theme)
	}
	d.set(func() { d.empty, d.sagas = true, nil })
	for _, path := range []string{"/", "/sagas", "/trouble", "/definitions", "/participants"} {
		b.open(path)
		b.do(b.until(hasRead))
		b.accessible(script, "empty "+path)
	}
	d.set(func() { d.token = "sesame" })
	b.open("/")
	b.do(b.until(`document.querySelector("#token")`))
	b.accessible(script, "the login")
	b.clean("401 (Unauthorized)")
}

// TestAccessibilityChecksFindFaults spoils a page: what the checks would pass then, they would
// pass always.
func TestAccessibilityChecksFindFaults(t *testing.T) {
	script := axe(t)
	b := browse(t, newDesk(t))
	b.open("/sagas")
	_ = evaluate[bool](b, script+`
		document.querySelector("label[for=q]").remove();
		document.querySelector("#q").removeAttribute("placeholder");
		document.querySelector("h1").style.color = "#eee";
		true`)
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](`axe.run(document).then((r) => r.violations.map((v) => v.id))`, chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	assert.Subset(t, found, []string{"label", "color-contrast"})
}
