export interface AdmissionLimits {
  /** Connections at once, of all listeners and of one address; 0: no limit. */
  connections: number
  connectionsPerAddress: number
  /** New connections in a second, of all addresses; 0: no limit. */
  connectionsPerSecond: number
}

/** Who may connect at all, before a byte is read. */
export interface Admission {
  /** False where the limits are reached; otherwise the place is taken until `left`. */
  enter(address: string, now: number): boolean
  left(address: string): void
}

export function createAdmission(limits: AdmissionLimits): Admission {
  const perAddress = new Map<string, number>()
  const rate = createBucket(limits.connectionsPerSecond)
  let total = 0

  return {
    enter(address, now) {
      const own = perAddress.get(address) ?? 0
      if (limits.connections > 0 && total >= limits.connections) return false
      if (limits.connectionsPerAddress > 0 && own >= limits.connectionsPerAddress) return false
      if (rate.waitFor(1, now) > 0) return false
      rate.take(1)
      total += 1
      perAddress.set(address, own + 1)
      return true
    },
    left(address) {
      const own = (perAddress.get(address) ?? 1) - 1
      total -= 1
      if (own > 0) perAddress.set(address, own)
      else perAddress.delete(address)
    }
  }
}

/** So many units a second, those of one second at once. A rate of 0 bounds nothing. */
export interface Bucket {
  /** Milliseconds until so many units are there; more than one second's worth has to wait until it is full. */
  waitFor(units: number, now: number): number
  take(units: number): void
}

export function createBucket(perSecond: number): Bucket {
  let level = perSecond
  let filledAt = 0

  return {
    waitFor(units, now) {
      if (perSecond === 0) return 0
      if (filledAt === 0) filledAt = now
      level = Math.min(perSecond, level + ((now - filledAt) * perSecond) / 1000)
      filledAt = now
      const missing = Math.min(units, perSecond) - level
      return missing <= 0 ? 0 : Math.ceil((missing * 1000) / perSecond)
    },
    take(units) {
      if (perSecond > 0) level -= units
    }
  }
}
