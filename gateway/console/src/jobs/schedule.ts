const cycles = ['once', 'hourly', 'daily', 'weekly', 'monthly', 'cron'] as const

/** A schedule in words: `by hand`, `daily 03:30`, `cron 0 3 * * 1`. */
export function scheduleOf({ cycleType, executionTime }: { cycleType: number; executionTime: string | null }): string {
  if (!executionTime) return 'by hand'
  return `${cycles[cycleType] ?? cycleType} ${cycleType === 0 ? momentOf(executionTime) : executionTime}`
}

function momentOf(text: string): string {
  const moment = new Date(/^\d+$/.test(text) ? Number(text) : text)
  return Number.isNaN(moment.getTime()) ? text : moment.toLocaleString()
}
