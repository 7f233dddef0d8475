const tones: Record<string, string> = {
  SUCCESS: 'good',
  SUCCEEDED: 'good',
  DONE: 'good',
  ONLINE: 'good',
  RUNNING: 'busy',
  DISPATCHED: 'busy',
  INSTALLING: 'busy',
  MODIFYING: 'busy',
  TERMINATING: 'busy',
  CANCELLING: 'busy',
  Healthy: 'good',
  UnHealthy: 'bad',
  FAILED: 'bad',
  OFFLINE: 'bad',
  CANCELLED: 'dim',
  TERMINATED: 'dim',
  DISABLED: 'dim'
}

/** A state in its own word; the colour, that of the word unless `tone` says otherwise, only helps. */
export function Status({ of, tone = tones[of] ?? 'dim' }: { of: string; tone?: string | undefined }) {
  return <span class={`status ${tone}`}>{of.toLowerCase()}</span>
}

export interface Counts {
  total: number
  succeeded: number
  failed: number
  running: number
  waiting: number
}

/** How far the machines of a run are. */
export function Progress({ counts }: { counts: Counts }) {
  const { total, succeeded, failed, running, waiting } = counts
  const said = `${succeeded} succeeded, ${failed} failed, ${running} running, ${waiting} waiting`
  const parts = [
    ['good', succeeded],
    ['bad', failed],
    ['busy', running]
  ] as const
  return (
    <div class="progress">
      <svg role="img" aria-label={said} viewBox="0 0 100 6" preserveAspectRatio="none">
        {stacked(parts, total).map(({ tone, from, width }) => (
          <rect key={tone} class={tone} x={from} width={width} height="6" />
        ))}
      </svg>
      <span>{said}</span>
    </div>
  )
}

function stacked(parts: readonly (readonly [string, number])[], total: number) {
  let from = 0
  return parts.map(([tone, count]) => {
    const width = total === 0 ? 0 : (100 * count) / total
    from += width
    return { tone, from: from - width, width }
  })
}

/** Of a cluster or a host, which are well while they run. */
export function Standing({ of }: { of: string }) {
  return <Status of={of} tone={of === 'RUNNING' ? 'good' : undefined} />
}
