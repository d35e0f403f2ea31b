package event

import (
	"regexp"
	"strings"
	"testing"
)

// modelCrawler matches the list's expressions one by one.
func modelCrawler(ua string) bool { return modelAgent(ua) != AgentOther }

var modelList = func() (out []struct {
	re *regexp.Regexp
	is Agent
}) {
	for line := range strings.Lines(crawlerList) {
		pattern, mark, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		is := AgentCrawler
		if mark != "" {
			is = AgentLibrary
		}
		out = append(out, struct {
			re *regexp.Regexp
			is Agent
		}{regexp.MustCompile(pattern), is})
	}
	return out
}()

var modelAgents = map[string]Agent{}

func modelAgent(ua string) (is Agent) {
	if known, ok := modelAgents[ua]; ok {
		return known
	}
	for _, c := range modelList {
		if c.is > is && c.re.MatchString(ua) {
			is = c.is
		}
	}
	if len(modelAgents) < 10_000 {
		modelAgents[ua] = is
	}
	return is
}

// TestAgentOf: the index says what the expressions say, of the user agents
// that tests know and of such as are made of the list's own text.
func TestAgentOf(t *testing.T) {
	seen := map[Agent]int{}
	check := func(ua string) {
		t.Helper()
		got, want := AgentOf(ua), modelAgent(ua)
		if got != want {
			t.Errorf("%q is %d, the list says %d", ua, got, want)
		}
		seen[got]++
	}
	for _, ua := range agentsSeen {
		check(ua)
	}
	for line := range strings.Lines(crawlerList) {
		pattern, _, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		plain := strings.NewReplacer(`\`, "", "^", "", "$", "").Replace(pattern)
		check(plain)
		check("Mozilla/5.0 (compatible; " + plain + "/1.0)")
		check("Mozilla/5.0 " + plain[:len(plain)-1])
	}
	for is, least := range map[Agent]int{AgentOther: 300, AgentLibrary: 50, AgentCrawler: 1000} {
		if seen[is] < least {
			t.Errorf("only %d user agents are of kind %d: the test proves little", seen[is], is)
		}
	}
}

// TestBotFlag: whoever is on the list is a bot, also one that states a device;
// people's browsers are not.
func TestBotFlag(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for ua, want := range map[string]bool{
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                                      true,
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)":        true,
		"Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)":                                            true,
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36": true,
		"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)":                                     true,
		"curl/8.5.0": true,
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36":                         false,
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1": false,
		"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0":                                                                  false,
		"Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A)":                                                                                 false,
	} {
		for _, device := range []string{"", `"device":{"type":"mobile"},`} {
			raw := `{"type":"page","anonymousId":"a","timestamp":"2026-03-04T12:34:56Z","context":{` + device + `"userAgent":"` + ua + `"}}`
			e, reason := outcome(t, d, []byte(raw), genNow)
			if reason != "" || (e.Flags&FlagBot != 0) != want {
				t.Errorf("%s %s: reason %q, flags %b; a bot: %v", ua, device, reason, e.Flags, want)
			}
		}
	}
}

func BenchmarkAgentOf(b *testing.B) {
	ua := agentsSeen[4]
	b.ReportAllocs()
	for b.Loop() {
		AgentOf(ua)
	}
}
