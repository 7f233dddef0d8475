import { AppError } from '@fleetgate/kit'
import type { Settings } from './providerFields.js'

/** Reads settings for use; each method throws `invalid_input` that names the field. */
export interface FieldReader {
  /** What must be there. */
  text(name: string, pattern?: RegExp): string
  /** Empty where it is not there. */
  optional(name: string, pattern?: RegExp): string
  /** Words with commas between them. */
  words(name: string, pattern?: RegExp): string[]
  /** A whole number; 0 where it is not there. */
  whole(name: string): number
  isTrue(name: string): boolean
  /** The first where it is not there. */
  oneOf<T extends string>(name: string, choices: readonly [T, ...T[]]): T
}

export function readerOf(settings: Settings): FieldReader {
  function optional(name: string, pattern?: RegExp): string {
    const value = (settings[name] ?? '').trim()
    if (value !== '' && pattern && !pattern.test(value)) throw bad(name, 'is not of the form that the cloud takes')
    return value
  }

  return {
    optional,
    text(name, pattern) {
      const value = optional(name, pattern)
      if (value === '') throw bad(name, 'is required to make machines')
      return value
    },
    words: (name, pattern) =>
      (settings[name] ?? '')
        .split(',')
        .map((word) => word.trim())
        .filter(Boolean)
        .map((word) => {
          if (pattern && !pattern.test(word)) throw bad(name, 'is not of the form that the cloud takes')
          return word
        }),
    whole: (name) => Number(optional(name, /^\d{1,6}$/) || 0),
    isTrue: (name) => optional(name).toLowerCase() === 'true',
    oneOf(name, choices) {
      const value = optional(name) || choices[0]
      const chosen = choices.find((choice) => choice === value)
      if (!chosen) throw bad(name, `must be one of ${choices.join(', ')}`)
      return chosen
    }
  }
}

export function bad(field: string, reason: string, cause?: unknown): AppError {
  return new AppError('invalid_input', `${field} ${reason}`, { field }, { cause })
}
