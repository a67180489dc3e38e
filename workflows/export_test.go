package workflows

import enumspb "go.temporal.io/api/enums/v1"

const (
	ScheduleToStart = enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START
	StartToClose    = enumspb.TIMEOUT_TYPE_START_TO_CLOSE
)
