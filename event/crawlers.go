package event

import (
	_ "embed"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
)

// crawlerList holds patterns (RE2, on the user agent as it is sent), one a
// line, of those that speak HTTP and are nobody: crawlers, monitors, scanners,
// headless browsers. A second column, http-library, marks software that sends
// whatever its caller wants, on behalf of people, too.
//
// It is https://github.com/monperrus/crawler-user-agents (MIT License,
// Copyright 2017 Martin Monperrus), as testing/harness/clients pins it; the
// test there compares the two and renews this copy.
//
//go:embed crawlers.txt
var crawlerList string

const libraryMark = "http-library"

// crawling are patterns that the list marks as libraries and that only crawlers use.
var crawling = []string{"Scrapy", "HTTrack", "crawler4j", "SimpleCrawler", "colly", "larbin", "phpcrawl", "newspaper/", "trafilatura",
	"GoParserBot", "rawweb-bot", "python-opengraph", "Download Ninja", "[mM]echanize"}

// Agent is what the list says of a user agent.
type Agent uint8

// What a user agent is. One that is on both lists is a crawler.
const (
	AgentOther   Agent = iota // a browser or an app, as far as the list knows
	AgentLibrary              // an HTTP library: curl, axios
	AgentCrawler
)

// Bot reports whether an event with this user agent in its context is nobody's. A
// library's is somebody's: the app or the server that uses it speaks for people.
func (a Agent) Bot() bool { return a == AgentCrawler }

// AgentOf looks a user agent up in the list of crawlers, and knows those that it
// lacks by how crawlers introduce themselves. At most the first 1024 bytes are read.
func AgentOf(userAgent string) Agent {
	ua := userAgent[:min(len(userAgent), maxAgentBytes)]
	if strings.HasPrefix(ua, "Mozilla/") && strings.Contains(ua, "AppleWebKit/") {
		ua = withoutApps(ua)
	}
	is := crawlers().find(ua)
	if is == AgentOther && unlisted(ua) {
		return AgentCrawler
	}
	return is
}

// apps are names on the list that are a link preview's when they stand alone, and a
// person's within an app when a browser's user agent ends with them.
var apps = []string{"Viber", "WhatsApp", "Tumblr/", "Daum/"}

func withoutApps(ua string) string {
	for _, name := range apps {
		if strings.Contains(ua, name) {
			ua = strings.ReplaceAll(ua, name, "")
		}
	}
	return ua
}

var (
	compatible = regexp.MustCompile(`(?i)compatible; ?[^;)]*(bot|crawler|spider)([^a-z]|$)`)
	introduced = regexp.MustCompile(`(?i)(bot|crawler|spider|scraper)(/[^ ]*)?;? \(?[^)]*\+(https?:|[^ ]+@)`)
	platforms  = regexp.MustCompile(`(?i)android|iphone|ipad|ios|windows|macintosh|mac os|cfnetwork|darwin|dalvik|x11|cros`)
)

// unlisted reports whether a user agent that is not on the list is a crawler's:
// "compatible; NewBot/1.0", or NewBot/1.0 (+https://…) on no system that people
// have. "bot" alone is nothing: there are phones of that name, and apps.
func unlisted(ua string) bool {
	return compatible.MatchString(ua) || introduced.MatchString(ua) && !platforms.MatchString(ua)
}

// keyLen is the length by which plain patterns are found; shorter ones are
// expressions.
const keyLen = 3

// crawlerIndex finds the patterns of the list. Almost all are plain text or a
// few spellings of one, so one look-up a position tells which may begin there;
// as one expression they took a hundred times longer.
type crawlerIndex struct {
	plain       map[string][]crawler // by their first keyLen bytes
	expressions []crawler
}

type crawler struct {
	text string         // of a plain one
	re   *regexp.Regexp // of another
	is   Agent
}

var crawlers = sync.OnceValue(func() *crawlerIndex { return indexCrawlers(crawlerList) })

func indexCrawlers(list string) *crawlerIndex {
	ix := &crawlerIndex{plain: map[string][]crawler{}}
	for line := range strings.Lines(list) {
		pattern, mark, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "\t")
		is := AgentCrawler
		if mark == libraryMark && !slices.Contains(crawling, pattern) {
			is = AgentLibrary
		}
		re, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			panic(err) // the list is compiled in, and a test reads it
		}
		texts, ok := spellings(re)
		if !ok || slices.ContainsFunc(texts, func(t string) bool { return len(t) < keyLen }) {
			ix.expressions = append(ix.expressions, crawler{re: regexp.MustCompile(pattern), is: is})
			continue
		}
		for _, t := range texts {
			ix.plain[t[:keyLen]] = append(ix.plain[t[:keyLen]], crawler{text: t, is: is})
		}
	}
	return ix
}

// maxSpellings bounds the texts that one pattern may stand for.
const maxSpellings = 16

// spellings are the texts that an expression matches, where they are few.
func spellings(re *syntax.Regexp) (out []string, ok bool) {
	switch re.Op {
	case syntax.OpCapture:
		return spellings(re.Sub[0])
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			s, ok := spellings(sub)
			if !ok {
				return nil, false
			}
			out = append(out, s...)
		}
	case syntax.OpConcat:
		out = []string{""}
		for _, sub := range re.Sub {
			s, ok := spellings(sub)
			if !ok || len(out)*len(s) > maxSpellings {
				return nil, false
			}
			out = product(out, s)
		}
	case syntax.OpLiteral:
		out = []string{string(re.Rune)}
		if re.Flags&syntax.FoldCase != 0 { // [wW]
			if len(re.Rune) != 1 {
				return nil, false
			}
			out = []string{strings.ToLower(out[0]), strings.ToUpper(out[0])}
		}
	default:
		return nil, false
	}
	return out, len(out) <= maxSpellings
}

func product(heads, tails []string) (out []string) {
	for _, h := range heads {
		for _, t := range tails {
			out = append(out, h+t)
		}
	}
	return out
}

func (ix *crawlerIndex) find(ua string) Agent {
	is := AgentOther
	for i := 0; i+keyLen <= len(ua) && is < AgentCrawler; i++ {
		for _, c := range ix.plain[ua[i:i+keyLen]] {
			if c.is > is && strings.HasPrefix(ua[i:], c.text) {
				is = c.is
			}
		}
	}
	for _, c := range ix.expressions {
		if c.is > is && c.re.MatchString(ua) {
			is = c.is
		}
	}
	return is
}
