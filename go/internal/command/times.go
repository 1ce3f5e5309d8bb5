package command

import (
	"fmt"
	"time"
)

// at is a time for people: where they are, and how far away.
func at(moment time.Time) string {
	return moment.Local().Format("2006-01-02 15:04") + " (" + distance(time.Until(moment)) + ")"
}

func distance(ahead time.Duration) string {
	if ahead < 0 {
		return span(-ahead) + " ago"
	}
	return "in " + span(ahead)
}

// span has the two largest units: 3 d 4 h, 4 h 5 min, 12 s.
func span(length time.Duration) string {
	seconds := int64(length.Round(time.Second) / time.Second)
	days, hours, minutes := seconds/86400, seconds/3600%24, seconds/60%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min %d s", minutes, seconds%60)
	default:
		return fmt.Sprintf("%d s", seconds)
	}
}
