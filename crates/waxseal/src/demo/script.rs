//! `waxseal demo --script`: sends, opens and clicks by itself, and believes only what the store says.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use console::Office;
use store::{MessageFilter, MessageSummary};
use tokio::time::{Instant, sleep};

use super::house::DemoHouse;
use super::recipient::{self, CLICKS, SHOWS};

const PATIENCE: Duration = Duration::from_secs(10);
const A_MOMENT: Duration = Duration::from_secs(3);
const OFFER: &str = "https://example.com/offer?no=4711&lang=en";

/// The four messages, one open by a machine, one open and one click by a person.
pub(crate) async fn play(house: &DemoHouse) -> anyhow::Result<()> {
    house.seed().await?;
    let office = house.office();
    let newest = office.caught().last().map(|note| note.number).context("nothing arrived in the mailbox")?;
    let html = office.caught_html(newest).context("the offer arrived without HTML")?;
    let urls = |path| recipient::tracked_urls(&html, &house.base_url(), path);
    let pixels = urls(seal::PIXEL_PATH);
    let [pixel] = pixels.as_slice() else { bail!("{} pixels in the offer instead of one", pixels.len()) };
    // Nobody reads a mail in the second it arrives, and the verdict knows that.
    sleep(A_MOMENT).await;
    let opened = recipient::get(house.tracking(), pixel, SHOWS).await?;
    ensure!(opened.status == 200, "the pixel was answered with {}", opened.status);

    let links = urls(seal::LINK_PATH);
    ensure!(links.len() == 2, "{} tracked links in the offer instead of two", links.len());
    let clicked = recipient::get(house.tracking(), &links[0], CLICKS).await?;
    ensure!(clicked.status == 302, "the link was answered with {}", clicked.status);
    ensure!(clicked.location.as_deref() == Some(OFFER), "the link leads to {:?}", clicked.location);

    came_back_through_the_store(house).await
}

async fn came_back_through_the_store(house: &DemoHouse) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let messages = house.store().messages(MessageFilter::default()).await?;
        let of = |subject: &str| -> Option<&MessageSummary> {
            messages.iter().find(|message| message.record.subject.as_deref() == Some(subject))
        };
        let offer = of("Offer 4711").is_some_and(|m| m.opens_by_people == 1 && m.clicks_by_people == 1);
        let hello = of("Hello").is_some_and(|m| m.opens_by_people == 0 && m.opens_by_machines == 1);
        let plain = of("Plain words").is_some_and(|m| !m.record.pixel && !m.record.reasons.is_empty());
        let shared =
            of("Minutes of Monday").is_some_and(|m| m.record.recipients.len() == 3 && m.record.pixel);
        if offer && hello && plain && shared {
            return Ok(());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "the store does not show what happened: offer {offer}, machine {hello}, plain text {plain}, three people {shared}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}
