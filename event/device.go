package event

import (
	"bytes"
	"strings"
)

// form is what a word of context.device.type says.
type form struct {
	device DeviceType
	os     OS
	// platform: the word names a system, which runs on several forms of device;
	// what else the event says of the device is more precise.
	platform bool
}

// forms are the words of client libraries for the form of the device. "web" and
// "browser" are no form: the user agent says which.
var forms = table(map[string]form{
	"desktop|desktop computer|desktop pc|desktop web|windows desktop|personal computer|computer|pc|laptop|notebook|workstation":                        {device: DeviceDesktop},
	"mobile|mobile web|mobile app|mobile device|phone|mobile phone|smartphone|smart phone|cell phone|cellphone|feature phone|handset|handheld|phablet": {device: DeviceMobile},
	"iphone|ipod|ipod touch":                 {DeviceMobile, OSiOS, false},
	"windows phone":                          {device: DeviceMobile},
	"watch|smartwatch|wearable|wear os":      {device: DeviceMobile},
	"apple watch|watchos":                    {DeviceMobile, OSOther, false},
	"tablet|pad|e reader|ereader|kindle":     {device: DeviceTablet},
	"ipad|ipados":                            {DeviceTablet, OSiOS, false},
	"android tablet":                         {DeviceTablet, OSAndroid, false},
	"android phone":                          {DeviceMobile, OSAndroid, false},
	"android tv|google tv":                   {DeviceTV, OSAndroid, false},
	"tvos|apple tv|roku|tizen|webos|fire tv": {DeviceTV, OSOther, false},
	"tv|smart tv|television|connected tv|ctv|ott|set top box|settop|stb|media player|chromecast|hbbtv": {device: DeviceTV},
	"console|game console|gaming console|games console|gameconsole|playstation|xbox|nintendo":          {device: DeviceTV},
	"bot|crawler|spider|robot":      {device: DeviceBot},
	"ios":                           {DeviceMobile, OSiOS, true},
	"android":                       {DeviceMobile, OSAndroid, true},
	"macos|mac os x|osx|mac":        {DeviceDesktop, OSMac, true},
	"windows":                       {DeviceDesktop, OSWindows, true},
	"linux":                         {DeviceDesktop, OSLinux, true},
	"chromeos|chrome os|chromebook": {DeviceDesktop, OSChrome, true},
}, func(words string) []string { return strings.Split(words, "|") })

// models are how the names of a maker's models begin, where the maker is one whose
// libraries state the system alone as the type (Apple's), and those of televisions.
var models = []struct {
	prefix []byte
	device DeviceType
}{
	{[]byte("iPhone"), DeviceMobile}, {[]byte("iPod"), DeviceMobile}, {[]byte("Watch"), DeviceMobile},
	{[]byte("iPad"), DeviceTablet}, {[]byte("AppleTV"), DeviceTV}, {[]byte("Apple TV"), DeviceTV},
	{[]byte("Roku"), DeviceTV}, {[]byte("AFT"), DeviceTV}, {[]byte("BRAVIA"), DeviceTV}, {[]byte("Chromecast"), DeviceTV},
	{[]byte("Mac"), DeviceDesktop}, {[]byte("iMac"), DeviceDesktop},
}

func deviceOfModel(name []byte) DeviceType {
	for i := range models {
		if bytes.HasPrefix(name, models[i].prefix) {
			return models[i].device
		}
	}
	return DeviceUnknown
}

var systems = table(map[string]OS{
	"windows|windows phone|win32|windows nt":          OSWindows,
	"macos|mac os x|mac os|os x|macintosh|mac|darwin": OSMac,
	"linux|ubuntu|debian|fedora":                      OSLinux,
	"android|android os|fire os|android tv|google tv": OSAndroid,
	"ios|iphone os|ipados|iphone|ipad|ipad os":        OSiOS,
	"chromeos|chrome os|chromium os|cros":             OSChrome,
}, func(words string) []string { return strings.Split(words, "|") })

// osOf is the system of that name, also with its version behind it ("Windows 10").
func osOf(name []byte) OS {
	if len(name) == 0 {
		return OSUnknown
	}
	if os, ok := systems[squeezed(name)]; ok {
		return os
	}
	if i := bytes.LastIndexByte(name, ' '); i > 0 && i+1 < len(name) && name[i+1]-'0' <= 9 {
		return osOf(name[:i])
	}
	return OSOther
}

// formOf is the form of the device on which a system of that name runs, where it runs on
// one form alone: tvOS, iPadOS. Apps state "ios" as the type of all of Apple's.
func formOf(name []byte) DeviceType {
	if f := forms[squeezed(name)]; f.os != OSUnknown && !f.platform {
		return f.device
	}
	if i := bytes.LastIndexByte(name, ' '); i > 0 && i+1 < len(name) && name[i+1]-'0' <= 9 {
		return formOf(name[:i])
	}
	return DeviceUnknown
}

// ipads are the screens of iPads in CSS pixels, upright as Safari reports them
// whichever way the device is held. Macs are wider than high.
var ipads = map[[2]uint16]bool{
	{744, 1133}: true, {768, 1024}: true, {810, 1080}: true, {820, 1180}: true, {834, 1112}: true,
	{834, 1194}: true, {834, 1210}: true, {1024, 1366}: true, {1032, 1376}: true,
}
