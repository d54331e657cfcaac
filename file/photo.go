package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	_ "image/jpeg" // the kinds of photos that strangers send
	_ "image/png"
)

// A stranger's photo is kept without what cameras write beside the picture:
// place, time, device, owner, comments, a second picture, anything after the
// end. The picture itself is not touched. How the camera was held stays, for
// without it most photos of phones would lie on their side.

var errPhoto = errors.New("not a photo that can be cleaned")

// cleanPhoto gives the photo without its metadata, and its number of pixels.
func cleanPhoto(raw []byte) (clean []byte, pixels int, err error) {
	head, kind, err := image.DecodeConfig(bytes.NewReader(raw))
	if err != nil {
		return nil, 0, errPhoto
	}
	if kind == "png" {
		clean, err = cleanPNG(raw)
	} else {
		clean, err = cleanJPEG(raw)
	}
	return clean, head.Width * head.Height, err
}

// JPEG markers (ITU-T T.81, table B.1).
const (
	soi, eoi, sos = 0xd8, 0xd9, 0xda
	app0, app1    = 0xe0, 0xe1
	app2, app14   = 0xe2, 0xee
	appLast, com  = 0xef, 0xfe
)

// cleanJPEG keeps of the application segments JFIF, a colour profile and
// Adobe's colour transform, which say how the picture looks.
func cleanJPEG(raw []byte) ([]byte, error) {
	out := []byte{0xff, soi}
	orientation := byte(0)
	at := 2
	for {
		marker, seg, next, err := segment(raw, at)
		if err != nil {
			return nil, err
		}
		switch {
		case marker == app1:
			if o := orientationOf(seg); o != 0 && orientation == 0 {
				orientation = o
				out = append(out, orientationSegment(o)...)
			}
		case marker == app2 && !bytes.HasPrefix(seg, []byte("ICC_PROFILE\x00")):
		case marker > app2 && marker < app14, marker == appLast, marker == com:
		case marker == eoi:
			return append(out, 0xff, eoi), nil
		default:
			out = append(out, raw[at:next]...)
		}
		at = next
		if marker == sos {
			end, err := scanEnd(raw, at)
			if err != nil {
				return nil, err
			}
			out = append(out, raw[at:end]...)
			at = end
		}
	}
}

// segment reads the marker at a place; seg is what it holds.
func segment(raw []byte, at int) (marker byte, seg []byte, next int, err error) {
	if at+2 > len(raw) || raw[at] != 0xff {
		return 0, nil, 0, errPhoto
	}
	for at+2 < len(raw) && raw[at+1] == 0xff { // fill bytes
		at++
	}
	marker = raw[at+1]
	if marker == eoi {
		return marker, nil, at + 2, nil
	}
	if at+4 > len(raw) {
		return 0, nil, 0, errPhoto
	}
	n := int(binary.BigEndian.Uint16(raw[at+2:]))
	if n < 2 || at+2+n > len(raw) {
		return 0, nil, 0, errPhoto
	}
	return marker, raw[at+4 : at+2+n], at + 2 + n, nil
}

// scanEnd is where the coded picture ends: at a marker that is neither a
// stuffed byte nor a restart.
func scanEnd(raw []byte, at int) (int, error) {
	for ; at+1 < len(raw); at++ {
		if next := raw[at+1]; raw[at] == 0xff && next != 0 && next != 0xff && (next < 0xd0 || next > 0xd7) {
			return at, nil
		}
	}
	return 0, errPhoto
}

const tagOrientation = 0x0112 // Exif 2.32, 4.6.4

// orientationOf reads how the camera was held, 2 to 8; 0 = upright or unknown.
func orientationOf(seg []byte) byte {
	tiff, ok := bytes.CutPrefix(seg, []byte("Exif\x00\x00"))
	if !ok || len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if tiff[0] == 'I' {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 0
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 0
		}
		if order.Uint16(entries) == tagOrientation {
			if v := order.Uint16(entries[8:]); v >= 2 && v <= 8 {
				return byte(v)
			}
			return 0
		}
		entries = entries[12:]
	}
	return 0
}

// orientationSegment is an Exif block of that one entry.
func orientationSegment(o byte) []byte {
	return []byte{0xff, app1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8,
		0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, o, 0, 0, 0, 0, 0, 0}
}

// pictureChunks are those of PNG that say how the picture looks (PNG third
// edition, 11; the first four are critical).
var pictureChunks = map[string]bool{"IHDR": true, "PLTE": true, "IDAT": true, "IEND": true, "tRNS": true, "gAMA": true, "cHRM": true,
	"sRGB": true, "iCCP": true, "cICP": true, "sBIT": true, "pHYs": true, "bKGD": true}

func cleanPNG(raw []byte) ([]byte, error) {
	const signature = 8
	out := append([]byte(nil), raw[:signature]...)
	for at := signature; ; {
		if at+12 > len(raw) {
			return nil, errPhoto
		}
		n := int64(binary.BigEndian.Uint32(raw[at:]))
		kind, next := string(raw[at+4:at+8]), int64(at)+12+n
		if next > int64(len(raw)) {
			return nil, errPhoto
		}
		if pictureChunks[kind] {
			out = append(out, raw[at:next]...)
		}
		if kind == "IEND" {
			return out, nil
		}
		at = int(next)
	}
}
