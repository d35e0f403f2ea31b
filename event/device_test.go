package event

import (
	"fmt"
	"testing"
)

const (
	uaIPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	uaMac     = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15"
	uaWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"
	uaReduced = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"
	uaPhone   = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36"
	uaWebOS   = "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36"
)

// TestAgents: what user agents say of the form of the device. Televisions were
// desktops, and tablets, which leave out "Mobile" only, were phones.
func TestAgents(t *testing.T) {
	t.Parallel()
	for want, agents := range map[DeviceType][]string{
		DeviceTV: {uaWebOS, "Mozilla/5.0 (Linux; Tizen 6.0; SmartTV) SamsungBrowser/4.0 TV Safari/537.36", "Roku/DVP-12.5 (12.5.0)",
			"Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/537.36 Version/5.0 TV Safari/537.36", "AppleTV11,1/11.1",
			"Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/100 Mobile Safari/537.36",
			"Mozilla/5.0 (Linux; Android 11; BRAVIA 4K GB Build/x) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/100 Safari/537.36",
			"Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90 Safari/537.36 CrKey/1.56",
			"Mozilla/5.0 (PlayStation 5 3.11) AppleWebKit/605.1.15 (KHTML, like Gecko)",
			"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 (KHTML, like Gecko) Edge/44.18363",
			"Opera/9.80 (Linux armv7l; HbbTV/1.2.1 (; Philips; 40HFL5010T12)) Presto/2.12", "Mozilla/5.0 (Linux; Android 12; Chromecast) AppleWebKit/537.36"},
		DeviceTablet: {uaReduced, "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 Version/16.6 Mobile/15E148 Safari/604.1",
			"Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130 Safari/537.36",
			"Mozilla/5.0 (Android 13; Tablet; rv:128.0) Gecko/128.0 Firefox/128.0",
			"Mozilla/5.0 (Linux; U; Android 9; en-us; KFONWI Build/PS7) AppleWebKit/537.36 (KHTML, like Gecko) Silk/90 like Chrome/90 Safari/537.36",
			"Dalvik/2.1.0 (Linux; U; Android 13; SM-T870 Build/x)", "Shop/5 (iPad; iOS 17.4; Scale/2.00)"},
		DeviceMobile: {uaIPhone, uaPhone, "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A)", "Shop/5 (iPhone; iOS 17.4; Scale/3.00)",
			"Roku/9.1 (iPhone; iOS 17.4; Scale/3.00)", "Mozilla/5.0 (Android 14; Mobile; rv:128.0) Gecko/128.0 Firefox/128.0"},
		DeviceDesktop: {uaWindows, uaMac, "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
			"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
		DeviceUnknown: {"okhttp/4.12.0", "MyShop/1 CFNetwork/1410.0.3 Darwin/22.6.0", "BotanicaApp/1.2 (+https://botanica.example)"},
		DeviceBot:     {"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"},
	} {
		for _, ua := range agents {
			if got := DeviceOf(ua); got != want {
				t.Errorf("%s is a %s, want %s", ua, DeviceTypes[got], DeviceTypes[want])
			}
		}
	}
}

// TestDevices: words of client libraries, models, client hints and user agents, in
// their order. "unknown" and "browser" hid an iPhone's user agent, "Handset" was no
// phone, and an iPad is a Mac to all but its screen and its touch points.
func TestDevices(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	ua := func(s string) string { return `"userAgent":"` + s + `"` }
	typ := func(s string) string { return `"device":{"type":"` + s + `"}` }
	hints := func(s string) string {
		return `"userAgentData":{"brands":[{"brand":"Chromium","version":"138"}],` + s + `}`
	}
	for _, c := range []struct {
		context string
		device  DeviceType
		os      OS
	}{
		{typ("Handset") + "," + ua(uaIPhone), DeviceMobile, OSiOS},
		{typ("unknown") + "," + ua(uaIPhone), DeviceMobile, OSiOS},
		{typ("browser") + "," + ua(uaWindows), DeviceDesktop, OSWindows},
		{typ("web") + "," + ua(uaReduced), DeviceTablet, OSAndroid},
		{typ("a word that nobody has heard of before") + "," + ua(uaWindows), DeviceDesktop, OSWindows},
		{typ("") + "," + ua(uaMac), DeviceDesktop, OSMac},
		{typ("Smart TV"), DeviceTV, OSUnknown}, {typ("smart_tv"), DeviceTV, OSUnknown}, {typ("SMART-TV"), DeviceTV, OSUnknown}, {typ("television"), DeviceTV, OSUnknown},
		{typ("tvos") + `,"os":{"name":"tvOS"}`, DeviceTV, OSOther}, {typ("tvOS"), DeviceTV, OSOther}, {typ("Android TV"), DeviceTV, OSAndroid},
		{typ("iPad") + `,"os":{"name":"iPadOS"}`, DeviceTablet, OSiOS}, {typ("iPhone"), DeviceMobile, OSiOS}, {typ("Tablet"), DeviceTablet, OSUnknown},
		{typ("console"), DeviceTV, OSUnknown}, {typ("wearable"), DeviceMobile, OSUnknown}, {typ("Phone"), DeviceMobile, OSUnknown},
		{typ("PC"), DeviceDesktop, OSUnknown}, {typ("macos"), DeviceDesktop, OSMac}, {typ("Desktop"), DeviceDesktop, OSUnknown},
		{typ("ios"), DeviceMobile, OSiOS}, {typ("android"), DeviceMobile, OSAndroid},
		{typ("android") + "," + ua("okhttp/4.12.0"), DeviceMobile, OSAndroid},
		{typ("android") + "," + ua("Dalvik/2.1.0 (Linux; U; Android 13; SM-T870 Build/x)"), DeviceTablet, OSAndroid},
		{`"device":{"type":"ios","model":"iPad13,4"}`, DeviceTablet, OSiOS}, {`"device":{"type":"ios","model":"iPhone15,2"}`, DeviceMobile, OSiOS},
		{`"device":{"type":"ios","model":"AppleTV11,1"}`, DeviceTV, OSiOS}, {`"device":{"model":"iPad13,4"}`, DeviceTablet, OSUnknown},
		{`"os":{"name":"iPadOS"},` + ua(uaMac), DeviceTablet, OSiOS}, {`"device":{"maxTouchPoints":5},` + ua(uaMac), DeviceTablet, OSiOS},
		{`"screen":{"width":820,"height":1180},` + ua(uaMac), DeviceTablet, OSiOS}, {`"screen":{"width":1440,"height":900},` + ua(uaMac), DeviceDesktop, OSMac},
		{`"device":{"maxTouchPoints":10},` + ua(uaWindows), DeviceDesktop, OSWindows},
		{hints(`"mobile":true,"platform":"Android"`), DeviceMobile, OSAndroid}, {hints(`"mobile":false,"platform":"Android"`) + "," + ua(uaReduced), DeviceTablet, OSAndroid},
		{hints(`"mobile":false,"platform":"macOS"`), DeviceDesktop, OSMac}, {hints(`"mobile":false,"platform":"Chrome OS"`), DeviceDesktop, OSChrome},
		{hints(`"mobile":false,"platform":"Linux"`) + "," + ua(uaWebOS), DeviceTV, OSLinux}, {hints(`"platform":""`) + "," + ua(uaPhone), DeviceMobile, OSAndroid},
		{`"userAgentData":{"brands":[{"brand":"HeadlessChrome","version":"138"}],"mobile":false,"platform":"Linux"}`, DeviceBot, OSLinux},
		{`"userAgentData":[],` + ua(uaPhone), DeviceMobile, OSAndroid}, {`"userAgentData":"Chrome",` + ua(uaPhone), DeviceMobile, OSAndroid},
		{`"device":[],"os":"iOS","screen":null,` + ua(uaIPhone), DeviceMobile, OSiOS},
		// Apps for all of Apple's state "ios"; that it is a television or a tablet was lost without a model.
		{typ("ios") + `,"os":{"name":"tvOS"}`, DeviceTV, OSOther}, {typ("ios") + `,"os":{"name":"iPadOS 17.4"}`, DeviceTablet, OSiOS},
		{`"os":{"name":"Android TV"}`, DeviceTV, OSAndroid}, {`"os":{"name":"bot"}`, DeviceUnknown, OSOther},
		{ua("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; Touch; Tablet PC 2.0; rv:11.0) like Gecko"), DeviceDesktop, OSWindows},
		{`"os":{"name":"iOS 17.4"}`, DeviceUnknown, OSiOS}, {`"os":{"name":"Windows 11"}`, DeviceUnknown, OSWindows}, {`"os":{"name":"iPhone OS"}`, DeviceUnknown, OSiOS},
	} {
		raw := fmt.Sprintf(`{"type":"page","anonymousId":"a","timestamp":"2026-03-04T12:34:56Z","context":{%s}}`, c.context)
		agree(t, d, []byte(raw), genNow)
		if e, _ := outcome(t, d, []byte(raw), genNow); e.DeviceType != c.device || e.OS != c.os {
			t.Errorf("{%s}: a %s with %s, want a %s with %s", c.context, DeviceTypes[e.DeviceType], OSes[e.OS], DeviceTypes[c.device], OSes[c.os])
		}
	}
}

// TestNetworks: the API's own text has a hyphen in slow-2g that is none of ASCII, and
// phones name the technology.
func TestNetworks(t *testing.T) {
	t.Parallel()
	d := newDecoder(t)
	for network, want := range map[string]Network{
		`"effectiveType":"slow-2g"`: NetworkSlow2G, `"effectiveType":"slow\u20112g"`: NetworkSlow2G, `"effectiveType":"Slow 2G"`: NetworkSlow2G, `"effectiveType":"slow–2g"`: NetworkSlow2G,
		`"type":"EDGE"`: Network2G, `"type":"GPRS"`: Network2G, `"type":"HSPA+"`: Network3G, `"type":"HSDPA"`: Network3G, `"type":"UMTS"`: Network3G,
		`"type":"LTE"`: Network4G, `"type":"CTRadioAccessTechnologyLTE"`: Network4G, `"type":"CTRadioAccessTechnologyEdge"`: Network2G, `"type":"CTRadioAccessTechnologyNRNSA"`: Network5G,
		`"type":"NR"`: Network5G, `"type":"Wi-Fi"`: NetworkWifi, `"type":"cellular"`: NetworkCellular, `"cellular":true,"wifi":false`: NetworkCellular, `"cellular":"true","wifi":"false"`: NetworkCellular, `"cellular":0,"wifi":1`: NetworkWifi, `"type":"4G LTE"`: Network4G,
		`"cellular":true,"effectiveType":"4g"`: Network4G, `"cellular":true,"wifi":true`: NetworkWifi, `"type":"cellular","effectiveType":"3g"`: Network3G,
		`"cellular":false,"wifi":true,"carrier":"x"`: NetworkWifi, `"type":"unknown"`: NetworkUnknown, `"type":"none","cellular":true`: NetworkOffline, `"type":17`: NetworkUnknown,
	} {
		raw := `{"type":"page","anonymousId":"a","timestamp":"2026-03-04T12:34:56Z","context":{"network":{` + network + `}}}`
		agree(t, d, []byte(raw), genNow)
		if e, _ := outcome(t, d, []byte(raw), genNow); e.Network != want {
			t.Errorf("%s is %s, want %s", network, Networks[e.Network], Networks[want])
		}
	}
}
