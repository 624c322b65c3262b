package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/integration/internal/servers"
)

// tab is a page of a real browser that notes all that went wrong in it.
type tab struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // chromedp keeps the tab in it
	base string

	mu     sync.Mutex
	faults []string
}

// call sends a command to the browser.
func call[P, R any](b *tab, c cdp.Command[P, R], params P) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, func(ctx context.Context, tg *chromedp.Target) (R, error) { return cdp.Call(ctx, tg, c, params) })
	require.NoError(b.t, err)
}

// evaluate returns the value of a JavaScript expression.
func evaluate[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	require.NoError(b.t, err, expression)
	return v
}

func click(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(selector))
}

func enter(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(chromedp.CSS(selector), text)
}

// browse opens a tab that looks at a desk.
func browse(t *testing.T, d *desk) *tab {
	t.Helper()
	return browseAt(t, d.URL+deskBase)
}

// browseAt opens a tab of a headless Chromium for the page under an address.
func browseAt(t *testing.T, base string) *tab {
	t.Helper()
	servers.Browser(t)
	options := chromedp.DefaultExecAllocatorOptions[:]
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to sandbox as root
	}
	alloc, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		servers.Need(t, fmt.Sprintf("no Chromium: %v: apt-get install chromium, or integration/scripts/install.sh", err))
	}
	var late context.CancelFunc
	b.ctx, late = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(late)
	call(b, cdplog.Enable, cdp.Empty{})
	call(b, cdppage.Enable, cdppage.EnableParams{})
	call(b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Kolkata"})
	b.size(1280)
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, fmt.Sprintf("exception: %+v", e.ExceptionDetails.Exception))
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			b.faults = append(b.faults, fmt.Sprintf("console: %s", e.Args[0].Value))
		}
	case *cdplog.EventEntryAdded: // violations of the policy come here, and failed requests
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			b.faults = append(b.faults, string(e.Entry.Source)+": "+e.Entry.Text+" "+e.Entry.URL)
		}
	case *cdppage.EventJavascriptDialogOpening:
		b.faults = append(b.faults, "an alert: "+e.Message)
	}
}

// clean demands that nothing went wrong, but for requests that had to fail.
func (b *tab) clean(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		wanted := false
		for _, e := range expected {
			wanted = wanted || strings.Contains(f, e)
		}
		assert.True(b.t, wanted, "in the browser: %s", f)
	}
	b.faults = nil
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.shoot("failed")
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		require.NoError(b.t, err, "the page shows: %s; faults: %v", text, b.faults)
	}
}

func (b *tab) size(width int64) {
	b.t.Helper()
	b.viewport(width, 900)
}

func (b *tab) viewport(width, height int64) {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
}

// open goes to an address, and waits until it is there.
func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base+path), b.until(`document.querySelector("main[aria-busy=false] h1")`))
}

// until waits for a JavaScript expression to be true, also across a navigation.
func (b *tab) until(expression string) chromedp.Action[chromedp.Void] {
	script := fmt.Sprintf(`new Promise((done) => {
		const look = () => { try { return Boolean(%s); } catch { return false; } };
		if (look()) return done(true);
		const end = (v) => { clearInterval(timer); clearTimeout(late); done(v); };
		const timer = setInterval(() => look() && end(true), 20);
		const late = setTimeout(() => end(false), 10000);
	})`, expression)
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		var err error
		for range 3 { // a navigation ends the document, and with it what was asked
			var ok bool
			if ok, err = chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise)(ctx, t); ok {
				return nil
			} else if err == nil {
				break
			}
		}
		return fmt.Errorf("this did not come true: %s: %w", expression, err)
	})
}

// is demands that a JavaScript expression is true.
func (b *tab) is(expression string) {
	b.t.Helper()
	assert.True(b.t, evaluate[bool](b, "Boolean("+expression+")"), expression)
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	return evaluate[string](b, fmt.Sprintf(`document.querySelector(%q).innerText`, selector))
}

func (b *tab) theme(scheme string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// shoot keeps a picture of the page where somebody wants to look at it.
func (b *tab) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("CHOREO_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	// A page is shown whole; a dialog in the middle of what one sees.
	extent := evaluate[[]int64](b, `[innerWidth, document.querySelector("dialog[open]") ? innerHeight : Math.max(innerHeight, Math.min(document.documentElement.scrollHeight, 3000))]`)
	b.viewport(extent[0], extent[1])
	picture, err := chromedp.Run(b.ctx, func(ctx context.Context, tg *chromedp.Target) (cdppage.CaptureScreenshotResult, error) {
		return cdp.Call(ctx, tg, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{})
	})
	b.size(extent[0])
	if err != nil {
		b.t.Logf("no picture of %s: %v", name, err)
		return
	}
	require.NoError(b.t, os.MkdirAll(dir, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), picture.Data, 0o600))
}
