import { LRUCache } from 'lru-cache'

export interface LoginThrottle {
  isBlocked(address: string, now: number): boolean
  failed(address: string, now: number): void
}

interface Bucket {
  left: number
  at: number
}

const minuteMs = 60_000
const maxAddresses = 20_000

/** A bucket of wrong passwords for each address, refilled evenly over a minute. Right ones cost nothing. */
export function createLoginThrottle(perMinute: number): LoginThrottle {
  const buckets = new LRUCache<string, Bucket>({ max: maxAddresses })

  function bucketOf(address: string, now: number): Bucket {
    const bucket = buckets.get(address) ?? { left: perMinute, at: now }
    const refill = ((now - bucket.at) * perMinute) / minuteMs
    return { left: Math.min(perMinute, bucket.left + Math.max(0, refill)), at: now }
  }

  return {
    isBlocked: (address, now) => bucketOf(address, now).left < 1,
    failed(address, now) {
      const bucket = bucketOf(address, now)
      buckets.set(address, { ...bucket, left: Math.max(0, bucket.left - 1) })
    }
  }
}
