package event

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var modelList = func() (out []struct {
	re *regexp.Regexp
	is Agent
}) {
	for line := range strings.Lines(crawlerList) {
		pattern, mark, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		is := AgentCrawler
		if mark != "" && !slices.Contains(crawling, pattern) {
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

// modelAgent matches the list's expressions one by one.
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

// TestCrawlerIndex: the index says what the expressions say, of the user agents
// that tests know and of such as are made of the list's own text.
func TestCrawlerIndex(t *testing.T) {
	seen := map[Agent]int{}
	check := func(ua string) {
		t.Helper()
		got, want := crawlers().find(ua), modelAgent(ua)
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

// TestPeopleAreNoCrawlers: whoever is a crawler is one, also where a device is
// stated; people's browsers, apps and their HTTP libraries are not. An Android app
// sends okhttp/4.12.0, a server axios/1.6.8 in the name of a visitor, there are phones
// by the name of Cubot, and apps that name their site as crawlers do: all of them were
// bots, for ever, and in no audience. Viber and WhatsApp are on the list for the
// previews of links, and open pages of shops for people, too.
func TestPeopleAreNoCrawlers(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	const android = "Mozilla/5.0 (Linux; Android 14; SM-A546B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/130.0.0.0 Mobile Safari/537.36"
	const iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
	for want, agents := range map[bool][]string{
		true: {
			"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Bytespider", "ClaudeBot/1.0; +claudebot@anthropic.com",
			"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
			"Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "UptimeRobot/2.0", "PerplexityBot/1.0",
			"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36",
			"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
			"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "Scrapy/2.11 (+https://scrapy.org)", "WhatsApp/2.23.20.0 A",
			"Mozilla/5.0 (compatible; NobodyKnowsBot/1.0; +http://x.example/bot)", "MyNewCrawler/2.0 (+http://x.example)", "SomeSpider (+mailto@x.example)",
		},
		false: {
			"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36", iphone + " Version/17.4 Safari/604.1",
			"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A)",
			"okhttp/4.12.0", "axios/1.6.8", "python-requests/2.32.4", "curl/8.5.0", "Go-http-client/2.0", "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
			"Ktor client", "Dart/3.3 (dart:io)", "Apache-HttpClient/4.5.14 (Java/17)", "MyShop/1 CFNetwork/1410.0.3 Darwin/22.6.0", "analytics-ruby/2.4",
			"Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/100.0.4896.127 Mobile Safari/537.36",
			"Dalvik/2.1.0 (Linux; U; Android 9; CUBOT_X19 Build/PPR1)", "BotanicaApp/1.2 (+https://botanica.example)", "Robot Shop/1.0 (https://robots.example)",
			"Talabot/2.0 (Android 14; +https://talabot.example)", "MyShop/3.1 (https://shop.example; iOS 17.4)", "Abbott/1.0 (iPhone; iOS 17)",
			iphone + " ChatbotApp/3.0 (https://chat.example)", android + " Viber/23.0.0", android + " WhatsApp/2.23", iphone + " [FBAN/FBIOS;FBAV/450.0]",
			iphone + " Instagram 320.0", iphone + " Snapchat/12.70", android + " Line/13.1/IAB",
		},
	} {
		for _, ua := range agents {
			for _, device := range []string{"", `"device":{"type":"mobile"},`, `"device":{"type":"teapot"},`} {
				raw := `{"type":"page","anonymousId":"a","timestamp":"2026-03-04T12:34:56Z","context":{` + device + `"userAgent":"` + ua + `"}}`
				e, reason := outcome(t, d, []byte(raw), genNow)
				if reason != "" || (e.Flags&FlagBot != 0) != want {
					t.Errorf("%s %s: reason %q, flags %b; a bot: %v", ua, device, reason, e.Flags, want)
				}
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
