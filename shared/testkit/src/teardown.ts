/** The part of a tap test that the testkit needs. */
export interface Teardown {
  teardown(close: () => unknown): unknown
}
