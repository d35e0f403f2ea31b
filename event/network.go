package event

import (
	"bytes"
	"strings"
)

// networks are the words of browsers (Network Information API), of Segment's and
// Mixpanel's libraries (context.network.type, $radio) and of Android and iOS for
// kinds of networks. "cellular" alone says nothing of the speed.
var networks = table(map[string]Network{
	"none offline disconnected notreachable nonetwork noconnection notconnected": NetworkOffline,
	"slow2g": NetworkSlow2G,
	"2g gprs edge gsm cdma 1xrtt cdma1x iden": Network2G,
	"3g umts wcdma hspa hspa+ hspap hsdpa hsupa evdo evdo0 evdoa evdob cdmaevdorev0 cdmaevdoreva cdmaevdorevb ehrpd tdscdma": Network3G,
	"4g lte 4glte lte+ ltea lteca lteadvanced":      Network4G,
	"5g nr nrnsa nrsa 5gnr 5gnsa 5gsa 5ge 5g+ 5guw": Network5G,
	"wifi wlan":            NetworkWifi,
	"ethernet wired lan":   NetworkEthernet,
	"cellular mobile wwan": NetworkCellular,
}, strings.Fields)

// radios are what iOS and Android put before the names of their constants.
var radios = [...][]byte{[]byte("CTRadioAccessTechnology"), []byte("NETWORK_TYPE_"), []byte("TYPE_")}

func withoutRadio(name []byte) []byte {
	for _, r := range radios {
		name = bytes.TrimPrefix(name, r)
	}
	return name
}

// network is the speed class. A measured speed below 4G says more than the
// medium: a slow wifi is slow.
func (r *record) network() Network {
	typ, effective := networks[squeezed(withoutRadio(r.textOr(cNetType, cNetwork)))], networks[squeezed(r.text(cEffective))]
	switch {
	case typ == NetworkOffline || effective == NetworkOffline:
		return NetworkOffline
	case effective != NetworkUnknown && effective < Network4G:
		return effective
	case typ == NetworkWifi || typ == NetworkEthernet:
		return typ
	case r.truth(cWifi):
		return NetworkWifi
	case effective != NetworkUnknown && effective != NetworkCellular:
		return effective
	case typ != NetworkUnknown:
		return typ
	case effective == NetworkCellular || r.truth(cCellular):
		return NetworkCellular
	}
	return NetworkUnknown
}
