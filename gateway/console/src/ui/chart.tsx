export interface Point {
  /** Epoch ms. */
  at: number
  value: number
}

const [wide, high] = [600, 120]

/** A line over time, with its least and greatest value and its ends in words. */
export function Chart({ points, label }: { points: readonly Point[]; label: string }) {
  const [first] = points
  const last = points.at(-1)
  if (!first || !last || points.length < 2) return <p class="none">{label}: not enough points yet</p>
  const values = points.map(({ value }) => value)
  const [least, most] = [Math.min(...values), Math.max(...values)]
  const x = (at: number) => (wide * (at - first.at)) / (last.at - first.at || 1)
  const y = (value: number) => high - 4 - ((high - 8) * (value - least)) / (most - least || 1)
  const line = points.map(({ at, value }) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(' ')
  return (
    <figure class="chart">
      <svg role="img" aria-label={label} viewBox={`0 0 ${wide} ${high}`} preserveAspectRatio="none">
        <polyline points={line} />
      </svg>
      <figcaption>
        {label}: {shown(least)} to {shown(most)}, now {shown(last.value)}, since {new Date(first.at).toLocaleString()}
      </figcaption>
    </figure>
  )
}

function shown(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: 3 })
}
