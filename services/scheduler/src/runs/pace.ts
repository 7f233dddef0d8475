/** How a run is given out: so many machines in its first minute, each further minute `growth` times as many. */
export interface Rollout {
  perMinute: number
  growth: number
}

/** Kept in the run, so that another driver goes on at the same pace. */
export interface Pace {
  /** Machines that may be given out at once. */
  tokens: number
  /** When the tokens were reckoned. */
  at: number
  /** How long the run has been given out; time in which it could not be does not count. */
  activeMs: number
}

const minuteMs = 60_000
const fastest = 1_000_000

/**
 * The pace at a later moment. The first machine goes at once. Unused tokens add up to one minute's worth at most, so
 * that machines that come back together are given out at the same pace as others.
 */
export function paceAt(pace: Pace | undefined, rollout: Rollout, now: number): Pace {
  if (!pace) return { tokens: 1, at: now, activeMs: 0 }
  // Two minutes fill the bucket at any rate; what is longer was a pause, or a time when no machine was there.
  const passed = Math.min(Math.max(0, now - pace.at), 2 * minuteMs)
  const rate = rateAt(rollout, pace.activeMs)
  return {
    tokens: Math.max(pace.tokens, Math.min(rate, pace.tokens + (rate * passed) / minuteMs)),
    at: Math.max(now, pace.at),
    activeMs: pace.activeMs + passed
  }
}

/** Machines that may go now; sums of parts of one fall short of it by a hair. */
export function readyNow({ tokens }: Pace): number {
  return Math.floor(tokens + 1e-6)
}

/** Machines a minute. */
export function rateAt({ perMinute, growth }: Rollout, activeMs: number): number {
  return Math.min(fastest, Math.floor(perMinute * growth ** Math.floor(activeMs / minuteMs)))
}
