{ for (i = 1; i <= NF; i++) byte[n++] = $i }
END {
    for (at = 0; at + 1 < n && byte[at] != 255; at += byte[at] ? 2 + byte[at + 1] : 1) {
        if (byte[at + 1] != 4 || !byte[at]) continue
        if (byte[at] == 51 && written != "") {
            for (i = 2; i < 6; i++) lasts = lasts * 256 + byte[at + i]
            if (written + lasts < now) exit
        }
        if (byte[at] == 245 && byte[at + 2] > 0 && byte[at + 2] < 224 && found == "")
            found = byte[at + 2] "." byte[at + 3] "." byte[at + 4] "." byte[at + 5]
    }
    if (found != "") print found
}
