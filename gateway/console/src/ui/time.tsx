/** A moment in epoch ms as the time that has passed since, or is still to come; pointing at it shows the moment itself. */
export function Ago({ at }: { at: number | null | undefined }) {
  if (!at) return <span class="dim">—</span>
  const moment = new Date(at)
  return (
    <time dateTime={moment.toISOString()} title={moment.toLocaleString()}>
      {apart(at - Date.now())}
    </time>
  )
}

const units = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000]
] as const
const words = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' })

function apart(ms: number): string {
  const [unit, size] = units.find(([, long]) => Math.abs(ms) >= long) ?? ['second', 1000]
  return words.format(Math.trunc(ms / size), unit)
}

/** How long it took, once it has ended. */
export function Took({ from, to }: { from: number | null; to: number | null }) {
  return from && to ? <span class="took">{lasted(to - from)}</span> : null
}

/** `850 ms`, `12.3 s`, `4 min 10 s` */
function lasted(ms: number): string {
  if (ms < 1000) return `${ms} ms`
  const seconds = ms / 1000
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}

export function bytes(count: number): string {
  const [size, unit] = (
    [
      [1e9, 'GB'],
      [1e6, 'MB'],
      [1e3, 'KB']
    ] as const
  ).find(([least]) => count >= least) ?? [1, 'bytes']
  return `${(count / size).toLocaleString('en', { maximumFractionDigits: 1 })} ${unit}`
}
