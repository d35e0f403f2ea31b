package event

// container reports whether f is an object that is looked into.
func (f field) container() bool {
	switch f {
	case fProperties, fContext, cDevice, cOS, cScreen, cNetwork, cPage:
		return true
	}
	return false
}

// deferred reports whether an object or array that is the value of f is read
// later, where it is of interest.
func (f field) deferred() bool {
	switch f {
	case fAnonymousID, fUserID, fMessageID, fTimestamp, fOriginal, fSentAt, fReceivedAt, fProperties, fContext,
		pPrice, pQuantity, pValue, pTotal, pRevenue, pSubtotal, pDuration, pDepth, pVelocity, pHalf, pSeconds, pPosition, pAsset,
		cHints, cConsent, cManagement:
		return true
	}
	return false
}

// nested reports whether f may be a text with the JSON of what belongs there.
func (f field) nested() bool { return f == fProperties || f == fContext || f == pProducts }

// inside is the mask of the fields within the container f.
func (f field) inside() uint64 {
	switch f {
	case fProperties:
		return group(pPageType, pAsset)
	case fContext:
		return group(cUserAgent, cActive)
	case cDevice:
		return group(cDeviceType, cTouch)
	case cOS:
		return group(cOSName, cOSName)
	case cScreen:
		return group(cWidth, cHeight)
	case cNetwork:
		return group(cCellular, cNetType)
	case cPage:
		return group(cPath, cURL)
	}
	return 0
}

func topField(key []byte) field {
	switch string(key) {
	case "type":
		return fType
	case "anonymousId":
		return fAnonymousID
	case "userId":
		return fUserID
	case "previousId":
		return fPreviousID
	case "messageId":
		return fMessageID
	case "timestamp":
		return fTimestamp
	case "originalTimestamp":
		return fOriginal
	case "sentAt":
		return fSentAt
	case "receivedAt":
		return fReceivedAt
	case "event":
		return fEvent
	case "name":
		return fName
	case "category":
		return fCategory
	case "reason":
		return fReason
	case "detail":
		return fDetail
	case "raw":
		return fRaw
	case "properties":
		return fProperties
	case "context":
		return fContext
	}
	return fSkip
}

func propertyField(key []byte) field {
	switch string(key) {
	case "page_type":
		return pPageType
	case "path":
		return pPath
	case "url":
		return pURL
	case "name":
		return pName
	case "category":
		return pCategory
	case "product_id", "productId", "item_id":
		return pProductID
	case "sku":
		return pSKU
	case "price":
		return pPrice
	case "currency":
		return pCurrency
	case "quantity":
		return pQuantity
	case "value":
		return pValue
	case "total":
		return pTotal
	case "revenue":
		return pRevenue
	case "subtotal":
		return pSubtotal
	case "products":
		return pProducts
	case "items", "line_items":
		return fList
	case "ecommerce", "product":
		return fWithin
	}
	return measureField(key)
}

// measureField names the properties that only behavioural events have.
func measureField(key []byte) field {
	switch string(key) {
	case "element":
		return pElement
	case "duration_ms":
		return pDuration
	case "depth":
		return pDepth
	case "velocity":
		return pVelocity
	case "seconds_to_half":
		return pHalf
	case "seconds":
		return pSeconds
	case "visible":
		return pVisible
	case "position":
		return pPosition
	case "session_id":
		return pSession
	case "content_asset_id", "content_asset_ids", "asset_id":
		return pAsset
	}
	return fSkip
}

func productField(key []byte) field {
	switch string(key) {
	case "price":
		return pPrice
	case "quantity":
		return pQuantity
	case "category":
		return pCategory
	case "product":
		return fWithin
	}
	return fSkip
}

func contextField(key []byte) field {
	switch string(key) {
	case "userAgent":
		return cUserAgent
	case "device":
		return cDevice
	case "os":
		return cOS
	case "screen":
		return cScreen
	case "network":
		return cNetwork
	case "page":
		return cPage
	case "userAgentData":
		return cHints
	case "consent":
		return cConsent
	case "consentManagement":
		return cManagement
	case "active":
		return cActive
	}
	return fSkip
}

func deviceField(key []byte) field {
	switch string(key) {
	case "type":
		return cDeviceType
	case "model":
		return cModel
	case "maxTouchPoints", "touchPoints":
		return cTouch
	}
	return fSkip
}

func osField(key []byte) field {
	if string(key) == "name" {
		return cOSName
	}
	return fSkip
}

func screenField(key []byte) field {
	switch string(key) {
	case "width":
		return cWidth
	case "height":
		return cHeight
	}
	return fSkip
}

func networkField(key []byte) field {
	switch string(key) {
	case "cellular":
		return cCellular
	case "wifi":
		return cWifi
	case "effectiveType", "effective_type":
		return cEffective
	case "type", "connectionType", "connection_type":
		return cNetType
	}
	return fSkip
}

func contextPageField(key []byte) field {
	switch string(key) {
	case "path":
		return cPath
	case "url":
		return cURL
	}
	return fSkip
}
