export interface RateLimit {
  /** Takes one token of this caller: 0 when allowed, else the whole seconds to wait. */
  take(caller: string, nowMs: number): number
}

interface Bucket {
  tokens: number
  at: number
}

export interface RateLimitOptions {
  perSecond: number
  /** Requests a rested caller may send at once. */
  burst: number
  /** Buckets kept; the caller unseen for longest is forgotten first, and starts again with a full bucket. */
  maxCallers?: number
}

/** A token bucket per caller in bounded memory. A Map keeps insertion order, which makes it a least-recently-used list. */
export function createRateLimit({ perSecond, burst, maxCallers = 20_000 }: RateLimitOptions): RateLimit {
  const buckets = new Map<string, Bucket>()

  function refill(caller: string, nowMs: number): Bucket {
    const known = buckets.get(caller)
    if (!known) return { tokens: burst, at: nowMs }
    buckets.delete(caller)
    const earned = (Math.max(0, nowMs - known.at) / 1000) * perSecond
    return { tokens: Math.min(burst, known.tokens + earned), at: nowMs }
  }

  return {
    take(caller, nowMs) {
      const bucket = refill(caller, nowMs)
      buckets.set(caller, bucket)
      if (buckets.size > maxCallers) buckets.delete(buckets.keys().next().value as string)
      if (bucket.tokens < 1) return Math.max(1, Math.ceil((1 - bucket.tokens) / perSecond))
      bucket.tokens -= 1
      return 0
    }
  }
}
