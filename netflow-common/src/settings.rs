//! What the agent tells the programs while they run: one value of one entry, in the data section `SETTINGS`.

/// Words that the agent writes and the programs read one by one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Grows by one with each swap of the flow maps; an even one means the first map.
    pub epoch: u32,
    /// Not 0 while connections older than the agent are looked for.
    pub window: u32,
}

const _: () = assert!(size_of::<Settings>() == 8, "two words, no padding");

impl Settings {
    /// The value as it lies in the map.
    #[must_use]
    pub const fn words(self) -> [u32; 2] {
        [self.epoch, self.window]
    }
}
