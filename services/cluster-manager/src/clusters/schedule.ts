const names = (words: string) => words.split(' ')
const months = names('jan feb mar apr may jun jul aug sep oct nov dec')
const days = names('sun mon tue wed thu fri sat')

/** Minute, hour, day, month, weekday: the least and the most of each, and the words for them. */
const fields: { least: number; most: number; words: string[] }[] = [
  { least: 0, most: 59, words: [] },
  { least: 0, most: 23, words: [] },
  { least: 1, most: 31, words: [] },
  { least: 1, most: 12, words: months },
  { least: 0, most: 6, words: days }
]
const short = new Set(names('@hourly @daily @midnight @weekly @monthly @yearly @annually'))

/** Whether k3s takes this as a time to repeat something at: what it cannot read it drops without a word (robfig/cron, ParseStandard). */
export function isSchedule(text: string): boolean {
  if (short.has(text)) return true
  const parts = text.split(' ')
  return parts.length === fields.length && parts.every((part, index) => isField(part.toLowerCase(), index))
}

function isField(part: string, index: number): boolean {
  return part.split(',').every((item) => {
    const [range = '', step, ...more] = item.split('/')
    if (more.length > 0 || (step !== undefined && !/^[1-9]\d{0,3}$/.test(step))) return false
    if (range === '*' || range === '?') return true
    const [from = -1, to = from, ...rest] = range.split('-').map((value) => numberOf(value, index))
    return rest.length === 0 && from >= 0 && to >= from
  })
}

/** -1 for what is out of range, or no number. */
function numberOf(value: string, index: number): number {
  const { least = 0, most = 0, words = [] } = fields[index] ?? {}
  const number = words.includes(value) ? words.indexOf(value) + least : /^\d{1,2}$/.test(value) ? Number(value) : -1
  return number >= least && number <= most ? number : -1
}
